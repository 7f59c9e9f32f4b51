//! Look.

#[test]
fn look() {
    let mut files: Vec<_> = std::fs::read_dir("../../fixtures/formats").unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for file in files {
        match turnwise_formats::Imports::open(&file, None) {
            Err(e) => println!("{}: ERROR {e}", file.display()),
            Ok(mut imports) => {
                println!("=== {}: {}", file.file_name().unwrap().display(), imports.format().title());
                while let Some(i) = imports.next() {
                    match i {
                        Ok(i) => {
                            println!("- id {:?} model {:?} tools {} branches {}", i.id, i.transcript.model, i.transcript.tools.len(), i.transcript.conversation.branches().count());
                            for m in i.transcript.conversation.messages() {
                                let calls: Vec<_> = m.tool_calls().iter().map(|c| format!("{}={}({})", c.id().unwrap(), c.name(), c.arguments())).collect();
                                println!("   {}: {:.150} {calls:?} {}", m.role(), m.text().replace('\n', "|"), m.tool_call_id().unwrap_or(""));
                            }
                        }
                        Err(e) => println!("   ERROR {e}"),
                    }
                }
                println!("     {}", imports.report().to_string().replace('\n', "\n     "));
            }
        }
    }
}
