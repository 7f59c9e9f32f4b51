//! `turnwise models`: the model table, or one model in full.

use std::io::Write;

use turnwise::tokens::{Dollars, Family, ImageRule, NonAscii, Price, ToolRule};
use turnwise::{Model, Models};

use crate::args;
use crate::failure::Result;
use crate::output::{BOLD, DIM, json_line, stdout, table, write_table};
use crate::sanitize::clean;
use crate::text::{counted, thousands};

pub(crate) fn run(args: &args::Models, models: &Models) -> Result<()> {
    let mut out = stdout(args.json);
    match args.name.as_deref().map(|name| (name, models.get(name))) {
        None => list(&mut out, models.iter().collect(), args.json)?,
        Some((_, Some(model))) if args.json => json_line(&mut out, &model)?,
        Some((_, Some(model))) => tell(&mut out, &model)?,
        Some((part, None)) => {
            let lower = part.to_lowercase();
            let named: Vec<_> = models.iter().filter(|model| model.name.to_lowercase().contains(&lower)).collect();
            if named.is_empty() {
                // An unknown model has no window, so this is always an error.
                models.find(part).known_window()?;
            }
            list(&mut out, named, args.json)?;
        }
    }
    out.flush()?;
    Ok(())
}

fn list(out: &mut impl Write, mut models: Vec<&Model>, json: bool) -> Result<()> {
    models.sort_by_key(|model| &*model.name);
    if json {
        return models.into_iter().try_for_each(|model| json_line(out, model));
    }
    let header =
        ["model", "window", "longest prompt", "longest reply", "encoding", "family", "price", "cached", "reply"];
    let mut table = table(&header, &[4, 5]);
    let count = models.len();
    for model in models {
        let [input, cached, output] = model
            .price
            .map_or([None; 3], million)
            .map(|price| price.map_or_else(String::new, |price| price.to_string()));
        table.add_row([
            clean(&model.name).into_owned(),
            tokens(model.window),
            tokens(model.max_input),
            tokens(model.max_output),
            model.encoding.map_or(String::new(), |encoding| encoding.to_string()),
            family(model.family).to_owned(),
            input,
            cached,
            output,
        ]);
    }
    write_table(out, &table)?;
    writeln!(out, "\n{DIM}{}; prices per million tokens; empty: not known{DIM:#}", counted(count, "model"))?;
    Ok(())
}

fn tell(out: &mut impl Write, model: &Model) -> Result<()> {
    writeln!(out, "{BOLD}{}{BOLD:#}", clean(&model.name))?;
    let line = |text: Option<u64>| text.map(|tokens| format!("{} tokens", thousands(tokens)));
    let encoding = model.encoding.map_or("not known; tokens are estimated with o200k_base", |encoding| encoding.name());
    let lines = [
        ("like", model.like.clone()),
        ("window", line(model.window).or_else(|| Some("not known".to_owned()))),
        ("longest prompt", line(model.max_input)),
        ("longest reply", line(model.max_output)),
        ("encoding", Some(encoding.to_owned())),
        ("family", Some(family(model.family).to_owned())),
        ("images", model.images.map(images)),
        ("tools", model.tools.map(tools)),
        ("parallel calls", model.non_ascii.map(non_ascii)),
        ("price", model.price.map(|price| prices(price, model.provider.as_deref()))),
        ("note", model.note.clone()),
        ("source", model.source.clone()),
    ];
    for (what, text) in lines {
        let Some(text) = text else { continue };
        writeln!(out, "  {what:<15} {}", clean(&text))?;
    }
    Ok(())
}

fn tokens(limit: Option<u64>) -> String {
    limit.map_or_else(String::new, thousands)
}

fn family(family: Family) -> &'static str {
    match family {
        Family::Reasoning => "reasoning",
        Family::O3Mini => "o3-mini",
        Family::Search => "search",
        _ => "chat",
    }
}

fn tools(rule: ToolRule) -> String {
    format!("an estimate: {} tokens and {} % of what OpenAI bills for them", thousands(rule.base), rule.percent)
}

fn non_ascii(rule: NonAscii) -> String {
    match rule {
        NonAscii::Escaped => "results outside ASCII are billed as escapes".to_owned(),
        NonAscii::Plain => "results outside ASCII are billed as they are".to_owned(),
        _ => "a rule unknown to this program".to_owned(),
    }
}

fn images(rule: ImageRule) -> String {
    match rule {
        ImageRule::Tiles { base, tile } => {
            format!("{} tokens, plus {} for each tile of 512 pixels", thousands(base), thousands(tile))
        }
        ImageRule::Patches { per_thousand, most } => {
            let each = thousands(per_thousand);
            let most = thousands(most);
            format!("{each} tokens per 1,000 patches of 32 pixels, at most {most} patches per image")
        }
        _ => "a rule unknown to this program".to_owned(),
    }
}

/// The price of a million tokens: of the prompt, of a cached prompt, and of the reply.
fn million(price: Price) -> [Option<Dollars>; 3] {
    const MILLION: u64 = 1_000_000;
    let cached = price.cached.map(|_| price.of(MILLION, MILLION, 0));
    [Some(price.of(MILLION, 0, 0)), cached, Some(price.of(0, 0, MILLION))]
}

fn prices(price: Price, provider: Option<&str>) -> String {
    let of = ["prompt", "cached prompt", "reply"].into_iter().zip(million(price));
    let each: Vec<_> = of.filter_map(|(what, dollars)| Some(format!("{} {what}", dollars?))).collect();
    let at = provider.map_or_else(String::new, |provider| format!(", at {provider}"));
    format!("{} per million tokens{at}", each.join(", "))
}
