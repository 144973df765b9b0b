//! A database's settings as the flags of Temporal's tools, and words of guides that the tools do not know any more.

use indexmap::IndexMap;
use serde_json::Value;

use super::{Plugin, Version};
use crate::database::{Database, Verify};

/// What a step may say beside the settings of its database.
struct Known {
    /// As the tool spells it, without `--`.
    name: &'static str,
    short: &'static str,
    /// SQL databases, Cassandra.
    sql: bool,
    cassandra: bool,
    /// The first release that has it.
    since: &'static str,
    takes: Takes,
}

#[derive(PartialEq)]
enum Takes {
    Nothing,
    Text,
    Number,
    /// The flag is repeated.
    List,
}

const KNOWN: &[Known] = &[
    known("connect-attributes", "ca", true, false, "1.0", Takes::Text),
    known("tls-server-name", "", true, true, "1.9", Takes::Text),
    known("tls-disable-host-verification", "", true, true, "1.9", Takes::Nothing),
    known("timeout", "t", false, true, "1.0", Takes::Number),
    known("datacenter", "dc", false, true, "1.3", Takes::Text),
    known("disable-initial-host-lookup", "", false, true, "1.16", Takes::Nothing),
    known("address-translator", "", false, true, "1.18", Takes::Text),
    known("address-translator-options", "", false, true, "1.18", Takes::Text),
    known("allowed-authenticators", "aa", false, true, "1.25", Takes::List),
];

const fn known(
    name: &'static str,
    short: &'static str,
    sql: bool,
    cassandra: bool,
    since: &'static str,
    takes: Takes,
) -> Known {
    Known {
        name,
        short,
        sql,
        cassandra,
        since,
        takes,
    }
}

/// Flags that are refused, and what to write.
const REFUSED: &[(&[&str], &str)] = &[
    (
        &["tls-enable-host-verification"],
        "gone since 1.9: the certificate's name is verified unless it is told not to; write `tls: { verify: full }` in the database",
    ),
    (
        &["quiet", "q"],
        "it lets the tool end with 0 after an error; it is never used",
    ),
    (
        &["dryrun", "y"],
        "gone since 1.8, and before that it dropped every table of the real database; `refit schema plan` shows what is pending",
    ),
    (
        &["plugin", "pl"],
        "it follows from the database's `engine`: postgres12 for postgres, mysql8 for mysql (`postgres` and `mysql` are gone since 1.24)",
    ),
    (&["endpoint", "ep"], "it is `host` of the database"),
    (
        &["port", "p"],
        "it is `port` of the database (3036, as guides have it, is a slip for MySQL's 3306)",
    ),
    (&["user", "u"], "it is `user` of the database"),
    (
        &["password", "pw"],
        "it is `password` of the database, and goes to the tool by its environment only",
    ),
    (&["database", "db"], "it is `name` of the database"),
    (&["keyspace", "k"], "it is `name` of the database"),
    (
        &["tls", "tls-ca-file", "tls-cert-file", "tls-key-file"],
        "it follows from `tls` of the database: { verify: full, ca: FILE, cert: FILE, key: FILE }",
    ),
];

/// What is wrong with a step's `options`, and what to do: one pair each. A database that is not known yet: None.
pub(crate) fn lint_options(
    options: &serde_json::Map<String, Value>,
    database: Option<&Database>,
) -> Vec<(String, String)> {
    let plugin = database.and_then(|database| Plugin::of(database).ok());
    let mut found = Vec::new();
    for (key, value) in options {
        let name = bare(key);
        if let Some((_, help)) = REFUSED.iter().find(|(names, _)| names.contains(&name.as_str())) {
            found.push((format!("`{key}` is no option of a step"), (*help).to_owned()));
            continue;
        }
        let fits = |known: &&Known| match plugin {
            Some(Plugin::Cassandra) => known.cassandra,
            Some(_) => known.sql,
            None => true,
        };
        let Some(known) = find(&name).filter(fits) else {
            let names: Vec<&str> = KNOWN.iter().filter(fits).map(|known| known.name).collect();
            found.push((
                format!("unknown option `{key}`"),
                format!("there are {}", names.join(", ")),
            ));
            continue;
        };
        let wrong = match known.takes {
            Takes::Nothing => (!value.is_boolean()).then_some("true or false"),
            Takes::Number => (value.as_u64().is_none_or(|n| n == 0)).then_some("a number of seconds"),
            Takes::Text => value.as_str().is_none_or(str::is_empty).then_some("text"),
            Takes::List => list(value).is_none().then_some("text, or a list of text"),
        };
        if let Some(expected) = wrong {
            found.push((format!("`{key}` takes {expected}"), String::new()));
        }
        if plugin == Some(Plugin::Postgres)
            && known.name == "tls-server-name"
            && database.is_some_and(|d| value.as_str() != Some(&d.host))
        {
            found.push((
                "for PostgreSQL the tool verifies the name that it connects to".to_owned(),
                "write the certificate's name as `host` of the database; /etc/hosts of the host may hold it".to_owned(),
            ));
        }
    }
    found
}

/// What is wrong with the settings of a database for a tool, as a message and a help; whatever the release.
pub(crate) fn lint_database(database: &Database) -> Vec<(String, String)> {
    let plugin = match Plugin::of(database) {
        Ok(plugin) => plugin,
        Err(message) => return vec![(message, String::new())],
    };
    let mut found = Vec::new();
    let mut wrong = |message: &str, help: &str| found.push((message.to_owned(), help.to_owned()));
    if plugin == Plugin::Mysql && database.port == 3036 {
        wrong("port 3036 is a slip that stands in guides", "MySQL listens on 3306");
    }
    if database.host.starts_with('/') {
        wrong(
            "Temporal's tool reaches a database by TCP only, and `host` is a socket",
            "write the address that the server listens on",
        );
    }
    if plugin == Plugin::Postgres {
        if [&database.user, &database.name]
            .iter()
            .any(|text| text.contains(|c: char| "@:/?#% ".contains(c)))
        {
            wrong(
                "Temporal's tool builds a URL of `user` and `name` and quotes neither",
                "names without @ : / ? # % and spaces",
            );
        }
        if database
            .password
            .as_ref()
            .is_some_and(|password| password.reveal().contains(' '))
        {
            wrong(
                "Temporal's tool turns a space in a password for PostgreSQL into `+`",
                "a password without spaces",
            );
        }
    }
    match database.tls.verify {
        Verify::Ca if plugin != Plugin::Postgres => wrong(
            "`verify: ca`: Temporal's tool verifies a certificate with its name or not at all here",
            "write `verify: full`, with `options: { tls-server-name: NAME }` on the step where the certificate has another name; `options: { tls-disable-host-verification: true }` looks at nothing",
        ),
        Verify::Ca if database.tls.ca.is_none() => {
            wrong(
                "`verify: ca` without `ca`: Temporal's tool would verify nothing",
                "name the CA's file",
            );
        }
        _ => {}
    }
    found
}

/// What is wrong with the name of an embedded schema or with a directory, by its words alone.
pub(crate) fn lint_place(database: &Database, text: &str, embedded: bool) -> Option<(String, String)> {
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
    for (stale, now) in [("v96", "v12"), ("v57", "v8")] {
        if parts.contains(&stale) {
            return Some((
                format!("`{stale}` is gone since 1.24"),
                format!("write {now}; its first versions are those of {stale}, so that a database goes on with it"),
            ));
        }
    }
    let plugin = Plugin::of(database).ok()?;
    let names = plugin.schema_names();
    if embedded && !names.contains(&text) {
        return Some((
            format!("there is no embedded schema `{text}` for {}", database.engine.word()),
            names.join(" or "),
        ));
    }
    // Temporal's directories lie below their engine's name.
    let own = names[0].split('/').next().unwrap_or_default();
    let engines = ["postgresql", "mysql", "cassandra", "elasticsearch", "sqlite"];
    let named = parts.iter().rev().take(5).find(|part| engines.contains(part))?;
    (*named != own).then(|| {
        let message = format!(
            "this is a directory for {named}, and the database is {}",
            database.engine.word()
        );
        (message, String::new())
    })
}

/// Shell text: the tool's global flags, in the order in which people write them. Files are in `$work`.
pub(super) fn global(
    database: &Database,
    plugin: Plugin,
    release: &Version,
    options: &IndexMap<String, Value>,
) -> Result<String, String> {
    let mut text = String::new();
    let mut push = |flag: &str, value: Option<&str>| {
        text += " --";
        text += flag;
        if let Some(value) = value {
            text += " ";
            text += &word(value);
        }
    };
    let bracketed = |host: &str| match host.contains(':') && !host.starts_with('[') && plugin != Plugin::Cassandra {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    push("endpoint", Some(&bracketed(&database.host)));
    push("port", Some(&database.port.to_string()));
    if !database.user.is_empty() {
        push("user", Some(&database.user));
    }
    match plugin {
        Plugin::Cassandra => push("keyspace", Some(&database.name)),
        Plugin::Postgres => {
            push("database", Some(&database.name));
            push("plugin", Some("postgres12"));
        }
        Plugin::Mysql => {
            push("database", Some(&database.name));
            push("plugin", Some("mysql8"));
        }
    }
    let old = before(release, "1.9");
    let given = |name: &str| options.get(name);
    let on = |name: &str| given(name).and_then(Value::as_bool).unwrap_or(false);
    if database.tls.verify != Verify::None {
        push("tls", None);
        for (flag, file, there) in [
            ("tls-ca-file", "ca.pem", database.tls.ca.is_some()),
            ("tls-cert-file", "cert.pem", database.tls.cert.is_some()),
            ("tls-key-file", "key.pem", database.tls.key.is_some()),
        ] {
            if there {
                text += &format!(" --{flag} \"$work\"/{file}");
            }
        }
        let mut push = |flag: &str, value: Option<&str>| {
            text += &format!(" --{flag}");
            if let Some(value) = value {
                text += &format!(" {}", word(value));
            }
        };
        match database.tls.verify == Verify::Full && !on("tls-disable-host-verification") {
            true if old => push("tls-enable-host-verification", None),
            // Of several nodes each is verified by the name or address under which it is reached.
            true if given("tls-server-name").is_none()
                && !database.host.contains(',')
                && plugin != Plugin::Cassandra =>
            {
                push("tls-server-name", Some(&database.host));
            }
            true => {}
            false if old => {}
            false => push("tls-disable-host-verification", None),
        }
    }
    for known in KNOWN {
        let Some(value) = given(known.name) else { continue };
        if before(release, known.since) {
            return Err(format!(
                "`{}` came with {}, and this tool is {release}",
                known.name, known.since
            ));
        }
        match known.takes {
            Takes::Nothing if known.name == "tls-disable-host-verification" => {}
            Takes::Nothing if value.as_bool() == Some(true) => text += &format!(" --{}", known.name),
            Takes::Nothing => {}
            Takes::Number => text += &format!(" --{} {value}", known.name),
            Takes::Text | Takes::List => {
                for one in list(value).unwrap_or_default() {
                    text += &format!(" --{} {}", known.name, word(&one));
                }
            }
        }
    }
    Ok(text)
}

/// MariaDB calls it `tx_isolation`, and does not know the name that the tool would set.
pub(super) fn for_mariadb(options: &mut IndexMap<String, Value>) {
    let own = "tx_isolation=%27READ-COMMITTED%27";
    let given = options
        .get("connect-attributes")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if given.contains("isolation=") {
        return;
    }
    let all = match given {
        "" => own.to_owned(),
        given => format!("{given}&{own}"),
    };
    options.insert("connect-attributes".to_owned(), all.into());
}

/// The names that a step gave, as the tool spells them.
pub(super) fn named(options: &serde_json::Map<String, Value>) -> IndexMap<String, Value> {
    let known = |(key, value): (&String, &Value)| Some((find(&bare(key))?.name.to_owned(), value.clone()));
    options.iter().filter_map(known).collect()
}

pub(super) fn before(release: &Version, since: &str) -> bool {
    Version::parse(since).is_some_and(|since| *release < since)
}

fn find(name: &str) -> Option<&'static Known> {
    KNOWN
        .iter()
        .find(|known| known.name == name || (!known.short.is_empty() && known.short == name))
}

fn bare(key: &str) -> String {
    key.trim_start_matches('-').replace('_', "-")
}

fn list(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) if !text.is_empty() => Some(vec![text.clone()]),
        Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// One word of the shell. No setting holds a NUL: `decode` refuses control characters.
pub(super) fn word(text: &str) -> String {
    shlex::try_quote(text).map_or_else(|_| "''".to_owned(), |word| word.into_owned())
}
