#[test]
fn look() {
    for folder in ["../../fixtures/foreign", "../../fixtures/formats", "../../fixtures", "/work/shared/fixtures/other-formats"] {
        let Ok(list) = std::fs::read_dir(folder) else { continue };
        let mut files: Vec<_> = list.map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
        files.sort();
        for file in files {
            match turnwise_formats::Imports::open(&file, None) {
                Err(e) => println!("{}: ERROR {e}", file.display()),
                Ok(mut imports) => {
                    let mut n = 0; let mut m = 0; let mut errors = vec![];
                    while let Some(i) = imports.next() { match i { Ok(i) => { n += 1; m += i.transcript.conversation.messages().count(); } Err(e) => errors.push(e.to_string()) } }
                    println!("{}: {} n={n} m={m} {errors:?}\n     {}", file.file_name().unwrap().display(), imports.format().title(), imports.report().to_string().replace('\n', "\n     "));
                }
            }
        }
    }
}
