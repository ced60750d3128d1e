//! The example is a good configuration, and every bad one says what is wrong and where.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use super::*;

const MINIMAL: &str = "
apiVersion: bailiwick.dev/v1alpha1
kind: Configuration
clusters:
  - name: lab
    endpoints: [https://pve1]
    tls: {systemRoots: true}
    token: {env: BAILIWICK_TOKEN}
ledger: {keyFile: keys/ledger.key}
approval: {allowedSigners: signers}
";

fn parse(text: &str) -> Result<Configuration, ConfigurationError> {
    Configuration::parse(text, Path::new("etc/bailiwick.yaml"))
}

fn refusal(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// The minimal configuration with one text replaced.
fn with(from: &str, to: &str) -> String {
    assert!(MINIMAL.contains(from), "{from}");
    refusal(&MINIMAL.replace(from, to))
}

#[test]
fn the_example_is_good() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/bailiwick.yaml");
    let configuration = load_configuration(&file).unwrap();
    assert_eq!(configuration.clusters[0].endpoints.len(), 2);
    assert_eq!(
        configuration.state,
        file.with_file_name("state").join("bailiwick.db")
    );
    assert_eq!(configuration.policy().rules.len(), 5);
    assert_eq!(configuration.source("git:infra").fuse.count, 5);
    assert!(!configuration.source("git:other").prune);
    assert_eq!(configuration.warnings(), Vec::<String>::new());
    // What the example says of the loop and of who listens are the defaults, but for the names and secrets.
    assert_eq!(configuration.reconcile, serving::Reconcile::default());
    assert_eq!(configuration.serve.listen, Serve::default().listen);
    assert_eq!(configuration.serve.body_limit, Serve::default().body_limit);
    let again = serde_json::to_string(&configuration).unwrap();
    assert_eq!(
        serde_json::from_str::<Configuration>(&again).unwrap(),
        configuration
    );
}

#[test]
fn defaults_are_sensible_and_paths_relative_to_the_file() {
    let configuration = parse(MINIMAL).unwrap();
    assert_eq!(configuration.state, Path::new("etc/bailiwick.db"));
    assert_eq!(
        configuration.ledger.key_file,
        Path::new("etc/keys/ledger.key")
    );
    assert_eq!(
        configuration.approval.allowed_signers,
        Path::new("etc/signers")
    );
    assert_eq!(
        configuration.clusters[0].token,
        Token::Env("BAILIWICK_TOKEN".into())
    );
    assert_eq!(
        configuration.clusters[0].limits,
        Limits {
            per_node: 2,
            per_storage: 1
        }
    );
    assert_eq!(configuration.policy(), ApprovalPolicy::default());
    assert_eq!(configuration.warnings().len(), 1);
    let lab = ClusterName::new("lab").unwrap();
    assert_eq!(
        configuration.cluster(&lab).unwrap().endpoints[0].to_string(),
        "https://pve1:8006"
    );
    let absolute = parse(&MINIMAL.replace("signers}", "/etc/signers}")).unwrap();
    assert_eq!(absolute.approval.allowed_signers, Path::new("/etc/signers"));
}

#[test]
fn what_cannot_be_read_says_where() {
    let errors = [
        with("kind: Configuration", "kind: Configuration\nkinds: x"),
        with(
            "kind: Configuration",
            "kind: Configuration\nkind: Configuration",
        ),
        with("keyFile: keys/ledger.key", "keyfile: keys/ledger.key"),
        with("https://pve1", "http://pve1"),
        with("name: lab", "name: la b"),
        with("{systemRoots: true}", "{systemRoots: yes}"),
        with("{systemRoots: true}", "{systemRoots: false}"),
        with("{systemRoots: true}", "{systemRoots: true, caFile: x}"),
        with("{systemRoots: true}", "{insecure: true}"),
        with("{systemRoots: true}", "{fingerprint: 'AB:CD'}"),
        with(
            "{allowedSigners: signers}",
            "{allowedSigners: signers, expiresAfter: soon}",
        ),
        with(
            "{allowedSigners: signers}",
            "{allowedSigners: signers, policy: [{name: a, deny: x, match: {verbs: {any: [delte]}}}]}",
        ),
        with(
            "{allowedSigners: signers}",
            "{allowedSigners: signers, expiresAfter: 2d}",
        ),
        with("    token", "   token"),
        with("ledger: {keyFile: keys/ledger.key}\n", ""),
        with(
            "ledger: {keyFile: keys/ledger.key}",
            "ledger: &a {keyFile: keys/ledger.key}",
        ),
        refusal(""),
        refusal("- a"),
        refusal(&format!("{MINIMAL}---\na: b")),
    ];
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let secret = "root@pam!ci=11111111-2222-3333-4444-555555555555";
    for place in [
        secret.to_owned(),
        format!("{{value: '{secret}'}}"),
        format!("{{env: '{secret}'}}"),
        format!("{{file: a, env: '{secret}'}}"),
        format!("['{secret}']"),
    ] {
        let error = with("{env: BAILIWICK_TOKEN}", &place);
        assert!(!error.contains("1111"), "{error}");
        assert!(error.contains("yaml:8:"), "{error}");
    }
}

#[test]
fn every_other_mistake_is_found_at_once() {
    let text = "
apiVersion: bailiwick.dev/v2
kind: VirtualMachine
clusters:
  - name: lab
    endpoints: [https://pve1]
    tls: {systemRoots: true}
    token: {env: T}
    limits: {perNode: 0}
  - name: lab
    endpoints: ['https://pve1:8006']
    tls: {systemRoots: true}
    token: {env: T}
  - name: third
    endpoints: []
    tls: {systemRoots: true}
    token: {env: T}
state: same
ledger:
  keyFile: same
approval:
  allowedSigners: ''
  expiresAfter: 48h
  groups: {ops: [alice]}
  policy:
    - name: fine
      require: {}
    - name: wrong
      require:
        group: opps
sources:
  infra: {}
  git:infra: {fuse: {share: 2, count: 0}}
defaultPrincipal: system:reconcile
";
    insta::assert_snapshot!(refusal(text));
}

#[test]
fn a_safety_copy_has_a_place_and_an_age() {
    let text = MINIMAL.replace(
        "    token: {env: BAILIWICK_TOKEN}",
        "    token: {env: BAILIWICK_TOKEN}\n    safetyCopy: {storage: pbs, keepFor: 14d}",
    );
    let configuration = parse(&text).unwrap();
    let copy = configuration.clusters[0].safety_copy.as_ref().unwrap();
    assert_eq!(copy.storage.as_str(), "pbs");
    assert_eq!(copy.keep_for.seconds(), 14 * 86_400);
    assert_eq!(parse(MINIMAL).unwrap().clusters[0].safety_copy, None);
    for (wrong, why) in [
        ("{storage: pbs}", "missing field `keepFor`"),
        ("{keepFor: 14d}", "missing field `storage`"),
        (
            "{storage: pbs, keepFor: 14}",
            "`14` is not a number of minutes",
        ),
        (
            "{storage: pbs, keepFor: soon}",
            "`soon` is not a number of minutes",
        ),
        (
            "{storage: pbs, keepFor: 0d}",
            "`0d` is not a number of minutes",
        ),
        ("{storage: 'p b s', keepFor: 14d}", "p b s"),
        (
            "{storage: pbs, keepFor: 14d, mode: stop}",
            "unknown field `mode`",
        ),
    ] {
        let error = refusal(&text.replace("{storage: pbs, keepFor: 14d}", wrong));
        assert!(error.contains(why), "{wrong}: {error}");
    }
}

#[test]
fn groups_without_keys_are_warned_about() {
    let text = MINIMAL.replace("signers}", "signers, groups: {ops: [alice]}}");
    let warnings = parse(&text)
        .unwrap()
        .warnings_about(&AllowedSigners::default());
    assert_eq!(
        warnings,
        [
            "etc/signers names nobody: no plan can be approved",
            "alice of the group ops begins no line of etc/signers and so cannot approve"
        ]
    );
}

#[test]
fn what_the_controller_may_lose_is_the_operators_to_say() {
    assert!(!parse(MINIMAL).unwrap().clusters[0].allow_controller_loss);
    let text = MINIMAL.replace(
        "    token: {env: BAILIWICK_TOKEN}",
        "    token: {env: BAILIWICK_TOKEN}\n    allowControllerLoss: true",
    );
    assert!(parse(&text).unwrap().clusters[0].allow_controller_loss);
}

#[test]
fn the_schema_knows_every_field() {
    let schema = serde_json::to_value(schemars::schema_for!(Configuration)).unwrap();
    let text = schema.to_string();
    for field in [
        "vmidRange",
        "safetyCopy",
        "allowControllerLoss",
        "keepFor",
        "perStorage",
        "allowedSigners",
        "riskAtLeast",
        "autoApprove",
        "systemRoots",
        "timeZone",
    ] {
        assert!(text.contains(&format!("\"{field}\"")), "{field}");
    }
}

#[test]
fn an_unreadable_file_is_said() {
    let error = load_configuration(Path::new("/nonexistent/bailiwick.yaml")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("/nonexistent/bailiwick.yaml cannot be read"),
        "{error}"
    );
}
