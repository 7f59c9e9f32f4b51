//! `Preset`: the known differences of servers, each with its source.

use super::Dialect;

/// The known differences of a server: its dialect, and the source of that knowledge.
///
/// # Examples
/// ```
/// use turnwise::Dialect;
///
/// for preset in Dialect::presets() {
///     println!("{}: {} ({})", preset.name(), preset.dialect(), preset.source());
/// }
/// assert!(Dialect::presets().iter().any(|preset| preset.name() == "ollama"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    name: &'static str,
    /// The hosts of its API; empty for programs that people run themselves.
    hosts: &'static [&'static str],
    /// The port that it listens on, if no other program does by default.
    port: Option<u16>,
    /// The options, in the written form of a dialect.
    options: &'static str,
    source: &'static str,
}

/// Sorted by name. `pi` is the function `detectCompat` of github.com/earendil-works/pi
/// (`packages/ai/src/api/openai-completions.ts`, 2026), which has a table of what servers accept.
const PRESETS: [Preset; 16] = [
    Preset {
        name: "anthropic",
        hosts: &["api.anthropic.com"],
        port: None,
        options: "openai",
        source: "docs.anthropic.com/en/api/openai-sdk: joins instructions itself, ignores names, knows both limits",
    },
    Preset {
        name: "cerebras",
        hosts: &["api.cerebras.ai"],
        port: None,
        options: "developer-as-system",
        source: "pi; refuses reasoning_content: Kilo-Org/kilocode#10375",
    },
    Preset {
        name: "deepseek",
        hosts: &["api.deepseek.com"],
        port: None,
        options: "developer-as-system,max-tokens,send-field=reasoning_content",
        source: "api-docs.deepseek.com/guides/thinking_mode; earendil-works/pi#1047 (roles), #8018 (max_tokens)",
    },
    Preset {
        name: "gemini",
        hosts: &["generativelanguage.googleapis.com"],
        port: None,
        options: "openai",
        source: "ai.google.dev/gemini-api/docs/openai; signatures of thoughts are in the calls, which are sent unchanged",
    },
    Preset {
        name: "groq",
        hosts: &["api.groq.com"],
        port: None,
        options: "openai",
        source: "refuses fields that are not in the specification: tashfeenahmed/freellmapi#1070",
    },
    Preset {
        name: "llama.cpp",
        hosts: &[],
        port: None,
        options: "one-system,merge-roles",
        source: "templates of models check both: ggml-org/llama.cpp#20733, #19851",
    },
    Preset {
        name: "mistral",
        hosts: &["api.mistral.ai"],
        port: None,
        options: "developer-as-system,omit-names,max-tokens",
        source: "Gage-Technologies/mistral-go#2 (name), editor-code-assistant/eca#231 (max_completion_tokens); pi (roles)",
    },
    Preset {
        name: "moonshot",
        hosts: &["api.moonshot.ai", "api.moonshot.cn"],
        port: None,
        options: "developer-as-system,max-tokens,send-field=reasoning_content",
        source: "continuedev/continue#11806 (reasoning_content); pi",
    },
    Preset {
        name: "nvidia",
        hosts: &["integrate.api.nvidia.com"],
        port: None,
        options: "developer-as-system,max-tokens",
        source: "pi",
    },
    Preset {
        name: "ollama",
        hosts: &[],
        port: Some(11434),
        options: "developer-as-system,max-tokens",
        source: "docs.ollama.com/api/openai-compatibility (max_tokens); ollama/ollama-python#453 (roles)",
    },
    Preset { name: "openai", hosts: &["api.openai.com"], port: None, options: "openai", source: "the specification" },
    Preset {
        name: "openrouter",
        hosts: &["openrouter.ai"],
        port: None,
        options: "developer-as-system,send-field=reasoning_details",
        source: "openrouter.ai/docs/use-cases/reasoning-tokens; earendil-works/pi#5384 (roles)",
    },
    Preset {
        name: "together",
        hosts: &["api.together.ai", "api.together.xyz"],
        port: None,
        options: "developer-as-system,max-tokens",
        source: "pi",
    },
    Preset {
        name: "vllm",
        hosts: &[],
        port: None,
        options: "one-system,merge-roles,developer-as-system,max-tokens",
        source: "vllm-project/vllm#41114, #6862 (templates), can1357/oh-my-pi#958 (roles), 1Panel-dev/MaxKB#2912 (max_tokens)",
    },
    Preset { name: "xai", hosts: &["api.x.ai"], port: None, options: "developer-as-system", source: "pi" },
    Preset {
        name: "zai",
        hosts: &["api.z.ai", "open.bigmodel.cn"],
        port: None,
        options: "developer-as-system,max-tokens",
        source: "pi",
    },
];

impl Preset {
    /// The name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How requests are adapted to it.
    pub fn dialect(&self) -> Dialect {
        // A test parses each of them.
        self.options.parse().unwrap_or_default()
    }

    /// Where the differences are documented or reported.
    pub fn source(&self) -> &'static str {
        self.source
    }
}

impl Dialect {
    /// The preset of the server with this base URL: its host is that of a known API, or its port is
    /// Ollama's (11434). A server of another program that you run yourself, such as vLLM or
    /// llama.cpp, cannot be known by its address.
    ///
    /// A manager whose dialect is neither set nor saved in its file uses this one.
    ///
    /// # Examples
    /// ```
    /// use turnwise::Dialect;
    ///
    /// assert_eq!(Dialect::for_server("https://api.deepseek.com/v1"), Dialect::preset("deepseek").ok());
    /// assert_eq!(Dialect::for_server("http://localhost:11434/v1"), Dialect::preset("ollama").ok());
    /// assert_eq!(Dialect::for_server("http://localhost:8080/v1"), None);
    /// ```
    pub fn for_server(base_url: &str) -> Option<Self> {
        let rest = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
        let place = rest.split(['/', '?', '#']).next()?.rsplit('@').next()?.to_ascii_lowercase();
        let port = place.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let host = place.split(':').next()?;
        let of_host = PRESETS.iter().find(|preset| preset.hosts.contains(&host));
        let of_port = || PRESETS.iter().find(|preset| port.is_some() && preset.port == port);
        of_host.or_else(of_port).map(Preset::dialect)
    }

    /// All known servers, sorted by name.
    pub fn presets() -> &'static [Preset] {
        &PRESETS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_written_as_it_is_read_and_has_a_source() {
        assert!(PRESETS.is_sorted_by_key(|preset| preset.name));
        for preset in &PRESETS {
            assert_eq!(preset.options.parse::<Dialect>().unwrap().to_string(), preset.options, "{}", preset.name);
            assert_eq!(Dialect::preset(&preset.name.to_uppercase()).unwrap(), preset.dialect());
            assert!(!preset.source.is_empty());
            for host in preset.hosts {
                for url in [format!("https://{host}/v1"), format!("https://me:pw@{host}:443/x?y"), (*host).to_owned()] {
                    assert_eq!(Dialect::for_server(&url), Some(preset.dialect()), "{url}");
                }
                assert_eq!(Dialect::for_server(&format!("https://{host}.example.com/v1")), None);
            }
        }
    }

    #[test]
    fn ollama_is_known_by_its_port() {
        let ollama = Dialect::preset("ollama").unwrap();
        for url in ["http://127.0.0.1:11434/v1", "http://[::1]:11434/v1", "http://gpu.lan:11434"] {
            assert_eq!(Dialect::for_server(url), Some(ollama.clone()), "{url}");
        }
        for url in ["http://127.0.0.1:8000/v1", "http://[::1]/v1", "http://11434/v1", ""] {
            assert_eq!(Dialect::for_server(url), None, "{url}");
        }
    }
}
