use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;

use super::read::SecretError;
use super::{Redactor, Secret, from_command, from_env, from_file, hmac};

fn redactor(secrets: &[&str]) -> Redactor {
    let redactor = Redactor::default();
    secrets.iter().for_each(|s| redactor.add(&Secret::new(*s)));
    redactor
}

#[test]
fn plain_and_short() {
    let redactor = redactor(&["hunter22", "abc", "pass"]);
    assert_eq!(redactor.clean("-p hunter22 -x"), "-p <secret> -x");
    assert_eq!(redactor.clean("abc pass"), "abc <secret>");
    assert_eq!(redactor.clean(""), "");
}

#[test]
fn overlapping_secrets_leave_no_rest() {
    let redactor = redactor(&["abcdef", "defghi", "abcd"]);
    assert_eq!(redactor.clean("xabcdefghiy"), "x<secret>y");
    assert_eq!(redactor.clean("abcdabcd"), "<secret><secret>");
}

#[test]
fn encoded_forms() {
    let secret = "s3cr3t/w0rd \"q\" 'é'+&";
    let redactor = redactor(&[secret]);
    for (before, after) in [("", ""), ("a", "b"), ("ab", "c"), ("user:", "@host")] {
        for encoded in [
            STANDARD.encode(format!("{before}{secret}{after}")),
            URL_SAFE.encode(format!("{before}{secret}{after}")),
        ] {
            let cleaned = redactor.clean(&encoded);
            assert!(cleaned.contains("<secret>") && cleaned.len() < 26, "{cleaned}");
        }
    }
    let json = serde_json::json!({ "k": secret }).to_string();
    assert_eq!(redactor.clean(&json), r#"{"k":"<secret>"}"#);
    for shown in [
        "s3cr3t%2Fw0rd%20%22q%22%20%27%C3%A9%27%2B%26",
        "s3cr3t%2fw0rd%20%22q%22%20%27%c3%a9%27%2b%26",
        "s3cr3t/w0rd+%22q%22+%27%C3%A9%27%2B%26",
        r#"s3cr3t/w0rd \"q\" '\u00e9'+&"#,
        r#"s3cr3t/w0rd "q" '"'"'é'"'"'+&"#,
    ] {
        assert_eq!(redactor.clean(shown), "<secret>", "{shown}");
    }
}

#[test]
fn lines_of_a_key() {
    let redactor = redactor(&["-----BEGIN KEY-----\nMIIEvQIBADAN\nshort\n-----END KEY-----\n"]);
    assert_eq!(redactor.clean("x MIIEvQIBADAN y"), "x <secret> y");
    assert_eq!(redactor.clean("short"), "short");
}

#[test]
fn values() {
    let redactor = redactor(&["123456", "topsecret"]);
    let value = serde_json::json!({"a": ["topsecret", 123456, 12.5, null, true], "topsecret": 1});
    let cleaned = redactor.clean_value(&value);
    assert_eq!(
        cleaned,
        serde_json::json!({"a": ["<secret>", "<secret>", 12.5, null, true], "<secret>": 1})
    );
}

#[test]
fn a_secret_added_later_is_hidden_by_clones() {
    let first = redactor(&["onesecret"]);
    let second = first.clone();
    assert_eq!(second.clean("twosecret"), "twosecret");
    first.add(&Secret::new("twosecret"));
    assert_eq!(second.clean("twosecret"), "<secret>");
    assert_eq!(format!("{first:?} {:?}", Secret::new("x")), "Redactor <secret>");
}

#[test]
fn files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s");
    let write = |bytes: &[u8], mode: u32| {
        std::fs::write(&path, bytes).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
    };
    write(b"pw\n\n", 0o600);
    let (secret, warning) = from_file(&path).expect("read");
    assert_eq!((secret.reveal(), warning), ("pw\n", None));
    write(b"pw\r\n", 0o644);
    let (secret, warning) = from_file(&path).expect("read");
    assert_eq!(secret.reveal(), "pw");
    assert!(warning.is_some_and(|w| w.contains("0644")));
    write(b"\n", 0o600);
    assert!(matches!(from_file(&path), Err(SecretError::Empty(_))));
    write(b"\xff\xfe", 0o600);
    assert!(matches!(from_file(&path), Err(SecretError::NotText(_))));
    write(b"a\0b", 0o600);
    assert!(matches!(from_file(&path), Err(SecretError::ZeroByte(_))));
    assert!(matches!(
        from_file(&folder.path().join("no")),
        Err(SecretError::File { .. })
    ));
}

#[test]
fn commands_and_variables() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("f"), "from here\n").expect("written");
    assert_eq!(
        from_command("cat f", folder.path()).expect("read").reveal(),
        "from here"
    );
    let failed = from_command("echo leaked; exit 3", folder.path()).expect_err("fails");
    assert!(
        failed.to_string().contains('3') && !failed.to_string().contains("leaked"),
        "{failed}"
    );
    assert!(matches!(
        from_command("true", folder.path()),
        Err(SecretError::Empty(_))
    ));
    assert!(matches!(
        from_env("REFIT_TEST_NO_SUCH"),
        Err(SecretError::NoVariable(_))
    ));
    assert!(!from_env("PATH").expect("set").reveal().is_empty());
}

/// RFC 4231 has no key of 32 bytes; this value is from Python's hmac module.
#[test]
fn hmac_is_keyed() {
    let key: [u8; 32] = std::array::from_fn(|i| i as u8);
    assert_eq!(
        hmac(&key, "secret"),
        "723f228d66d0f98dd0b43d22396eda3938365077ed1737631b6ca62d2dca6b43"
    );
    assert_ne!(hmac(&[0; 32], "secret"), hmac(&key, "secret"));
}

proptest! {
    #[test]
    fn never_left_in_text(secret in "[ -~é]{4,20}", before in "[ -~]{0,10}", after in "[ -~]{0,10}") {
        let redactor = redactor(&[&secret]);
        let cleaned = redactor.clean(&format!("{before}{secret}{after}"));
        let left = cleaned.replace("<secret>", "\u{1}").contains(&secret);
        prop_assert!(!left);
        let value = redactor.clean_value(&serde_json::json!([format!("{before}{secret}")]));
        let left = value[0].as_str().unwrap_or_default().replace("<secret>", "\u{1}").contains(&secret);
        prop_assert!(!left);
    }
}
