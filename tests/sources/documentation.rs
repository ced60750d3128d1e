//! `docs/git.md` is true: its configurations are ones that Bailiwick takes.

use std::path::Path;

use bailiwick::configuration::Configuration;
use bailiwick::configuration::serving::GitStatus;
use bailiwick::sources::Source;

use super::bench::Bench;

const DOCUMENT: &str = include_str!("../../docs/git.md");
const REST: &str = r#"
apiVersion: bailiwick.dev/v1alpha1
kind: Configuration
clusters:
  - {name: lab, endpoints: [https://pve1], tls: {systemRoots: true}, token: {env: TOKEN}, vmidRange: 9000-9999}
  - {name: home, endpoints: [https://pve2], tls: {systemRoots: true}, token: {env: TOKEN}, vmidRange: 9000-9999}
ledger: {keyFile: key}
approval: {allowedSigners: signers}
"#;

#[test]
fn the_configurations_shown_are_taken() {
    let surroundings = Bench::new().surroundings();
    let mut names = Vec::new();
    let blocks = DOCUMENT
        .split("```yaml\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap());
    for block in blocks.filter(|block| block.starts_with("sources:")) {
        let text = format!("{block}{REST}");
        let configuration = Configuration::parse(&text, Path::new("/etc/bailiwick.yaml")).unwrap();
        for (name, source) in &configuration.sources {
            let source = Source::open(name, source, &surroundings).unwrap().unwrap();
            names.push(source.name().to_owned());
        }
    }
    assert_eq!(names, ["git:infra", "directory:home"]);
    // The other way to write a status.
    let text = format!(
        "{}{REST}",
        DOCUMENT
            .split("```yaml\n")
            .nth(1)
            .unwrap()
            .split("```")
            .next()
            .unwrap()
    );
    let text = text.replace("status: note", "status: {branch: bailiwick/status}");
    let configuration = Configuration::parse(&text, Path::new("/etc/bailiwick.yaml")).unwrap();
    let git = configuration.sources["git:infra"].git.as_ref().unwrap();
    assert_eq!(git.status, GitStatus::Branch("bailiwick/status".to_owned()));
}
