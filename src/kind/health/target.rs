//! What is asked, and what its answer says.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

use indexmap::IndexMap;
use regex::Regex;
use serde_json::Value;

use crate::kind::http::{self, Answer, Call, Request};
use crate::kind::sh::{environment, quote};
use crate::kind::wait::Seen;
use crate::kind::{Context, Failure, Output, Params, Probe, Reading};
use crate::temporal::{Address, Peer, Status};
use crate::tls::{Tls, Verify};
use crate::yaml::{Diagnostic, Diagnostics};

pub(super) enum Target {
    Tcp {
        host: String,
        port: u16,
    },
    Http(Box<Page>),
    Grpc {
        address: Address,
        service: String,
        version: Option<String>,
    },
    Command {
        text: String,
        version: Option<String>,
        environment: IndexMap<String, String>,
        /// Where it runs on the controller.
        folder: PathBuf,
    },
}

pub(super) struct Page {
    call: Call,
    body: Option<Regex>,
    json: Vec<(String, Value)>,
}

/// Exit status of a script that found no program to ask with.
const NO_PROGRAM: i32 = 90;

/// Brings a command's text, which may be secret, past every list of processes.
const VARIABLE: &str = "REFIT_HEALTH";
const RUN: &str = "t=$REFIT_HEALTH; unset REFIT_HEALTH; eval \"$t\"";

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = match self {
            Target::Tcp { host, port } => return write!(f, "tcp {host}:{port}"),
            Target::Http(page) => return write!(f, "{}", page.call.request.url),
            Target::Grpc {
                address,
                service,
                version,
            } => {
                write!(f, "grpc {}", address.at)?;
                if !service.is_empty() {
                    write!(f, " {}", service.rsplit('.').next().unwrap_or(service))?;
                }
                version
            }
            Target::Command { text, version, .. } => {
                let line = text.trim().lines().next().unwrap_or_default();
                write!(f, "`{line}`")?;
                version
            }
        };
        match version {
            Some(version) => write!(f, " to be {version}"),
            None => Ok(()),
        }
    }
}

impl Target {
    /// None while it is not known.
    pub(super) fn read(name: &str, params: &Params, context: &Context<'_>) -> Result<Option<Target>, Diagnostics> {
        let Some(text) = params.text(name) else {
            return Ok(None);
        };
        let version = params.version("version");
        Ok(Some(match name {
            "tcp" => {
                let (host, port) = address(&text).map_err(|why| params.error(name, why))?;
                Target::Tcp { host, port }
            }
            "grpc" => {
                address(&text).map_err(|why| params.error(name, why))?;
                let Some((tls, server)) = tls(params, context)? else {
                    return Ok(None);
                };
                Target::Grpc {
                    address: Address {
                        at: text,
                        tls,
                        name: server,
                    },
                    service: params.text("service").unwrap_or_default(),
                    version,
                }
            }
            "http" => match Page::read(text, params, context)? {
                Some(page) => Target::Http(Box::new(page)),
                None => return Ok(None),
            },
            _ => {
                if text.contains('\0') {
                    return Err(params.error(name, "a NUL character cannot be part of a command").into());
                }
                Target::Command {
                    text,
                    version,
                    environment: environment(context),
                    folder: context.folder.to_owned(),
                }
            }
        }))
    }

    /// Asks once, from the host or from here.
    pub(super) async fn look(&self, from_host: bool, host: &dyn Reading, limit: Duration) -> Seen {
        if from_host {
            return self.look_from_host(host, limit).await;
        }
        match self {
            Target::Tcp { host, port } => {
                let connect = tokio::net::TcpStream::connect((host.as_str(), *port));
                match tokio::time::timeout(limit, connect).await {
                    Ok(Ok(_)) => Seen::Well("open".into()),
                    Ok(Err(error)) => Seen::Bad(plain(&error.to_string())),
                    Err(_) => Seen::Bad("no answer".into()),
                }
            }
            Target::Http(page) => {
                let request = page.request(limit);
                match tokio::task::spawn_blocking(move || request.send()).await {
                    Ok(Ok(answer)) => page.judge(&answer),
                    Ok(Err(why)) => Seen::Bad(plain(&why)),
                    Err(error) => Seen::Bad(error.to_string()),
                }
            }
            Target::Grpc {
                address,
                service,
                version,
            } => ask(address, None, service, version.as_deref(), limit).await,
            Target::Command {
                text,
                version,
                environment,
                folder,
            } => {
                let child = tokio::process::Command::new("/bin/sh")
                    .args(["-c", RUN])
                    .envs(environment)
                    .env(VARIABLE, text)
                    .current_dir(folder)
                    .stdin(Stdio::null())
                    .kill_on_drop(true)
                    .output();
                match tokio::time::timeout(limit, child).await {
                    Ok(Ok(output)) => {
                        use std::os::unix::process::ExitStatusExt as _;
                        let rc = output.status.code();
                        judge_command(
                            &Output {
                                rc: rc.unwrap_or_else(|| 128 + output.status.signal().unwrap_or_default()),
                                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
                            },
                            version.as_deref(),
                        )
                    }
                    Ok(Err(error)) => Seen::Bad(plain(&error.to_string())),
                    Err(_) => Seen::Bad(format!("no end after {} s", limit.as_secs())),
                }
            }
        }
    }

    async fn look_from_host(&self, host: &dyn Reading, limit: Duration) -> Seen {
        let (script, environment) = match self {
            Target::Tcp { host, port } => match tcp_script(host, *port, limit) {
                Ok(script) => (script, IndexMap::new()),
                Err(seen) => return seen,
            },
            Target::Http(page) => {
                let call = page.with_limit(limit);
                (call.script(), call.environment())
            }
            Target::Grpc {
                address: server,
                service,
                version,
            } => {
                let (name, port) = match address(&server.at) {
                    Ok(parts) => parts,
                    Err(why) => return Seen::Never(Failure::new(why)),
                };
                let tunnel = match host.tunnel(None, &name, port).await {
                    Ok(tunnel) => tunnel,
                    // It may come back.
                    Err(failure) => return Seen::Bad(failure.message),
                };
                let seen = ask(server, tunnel.socket(), service, version.as_deref(), limit).await;
                return match (seen, tunnel.trouble()) {
                    (Seen::Bad(_), Some(why)) => Seen::Bad(why),
                    (seen, _) => seen,
                };
            }
            Target::Command { text, environment, .. } => {
                let mut environment = environment.clone();
                environment.insert(VARIABLE.to_owned(), text.clone());
                (format!("exec /bin/sh -c '{RUN}' </dev/null\n"), environment)
            }
        };
        let probe = Probe {
            script,
            environment,
            timeout: Some(limit + Duration::from_secs(5)),
        };
        let output = match host.probe(&probe).await {
            Ok(output) => output,
            // One lost answer ends no wait: the connection may come back.
            Err(failure) => return Seen::Bad(failure.message),
        };
        match self {
            Target::Command { version, .. } => judge_command(&output, version.as_deref()),
            _ if output.rc == NO_PROGRAM => Seen::Never(Failure::new(output.stderr.trim().to_owned())),
            Target::Http(page) => match page.call.read(&output) {
                Ok(answer) => page.judge(&answer),
                Err(failure) => Seen::Bad(failure.message),
            },
            _ if output.rc == 0 => Seen::Well("open".into()),
            _ => Seen::Bad(last_line(&output).unwrap_or_else(|| "closed".into())),
        }
    }
}

/// `HOST:PORT`, or `[ADDRESS]:PORT`.
pub(in crate::kind) fn address(text: &str) -> Result<(String, u16), String> {
    let wrong = || format!("`{}` is no HOST:PORT", text.escape_debug());
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inside) => inside,
        None if host.contains(':') => return Err(format!("{}: write [{host}]:{port}", wrong())),
        None => host,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:%".contains(c);
    if host.is_empty() || host.starts_with('-') || !host.chars().all(plain) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

async fn ask(address: &Address, through: Option<&Path>, service: &str, version: Option<&str>, limit: Duration) -> Seen {
    let ask = ask_peer(address, through, service, version, limit);
    match tokio::time::timeout(limit * 2, ask).await {
        Ok(seen) => seen,
        Err(_) => Seen::Bad("no answer".into()),
    }
}

async fn ask_peer(
    address: &Address,
    through: Option<&Path>,
    service: &str,
    version: Option<&str>,
    limit: Duration,
) -> Seen {
    let mut peer = match Peer::connect(address, through, limit).await {
        Ok(peer) => peer,
        Err(error) => return Seen::Bad(error.to_string()),
    };
    let serving = match peer.health(service).await {
        Ok(serving) => serving,
        Err(error) => return Seen::Bad(error.to_string()),
    };
    let word = serving.word();
    let Some(wanted) = version else {
        return match serving {
            Status::Serving => Seen::Well(word.into()),
            _ => Seen::Bad(word.into()),
        };
    };
    match peer.temporal_version().await {
        Ok(version) if serving == Status::Serving && same_version(&version, wanted) => {
            Seen::Well(format!("{word}, {version}"))
        }
        Ok(version) => Seen::Bad(format!("{word}, {version}")),
        Err(error) => Seen::Bad(format!("{word}, version: {error}")),
    }
}

/// `tls`, and the name in it; None while it is not known.
pub(in crate::kind) fn tls(
    params: &Params,
    context: &Context<'_>,
) -> Result<Option<(Tls, Option<String>)>, Diagnostics> {
    let value = match params.value("tls") {
        Some(value) => value,
        None if params.pending("tls") => return Ok(None),
        None => return Ok(Some((Tls::new(Verify::None), None))),
    };
    match value {
        Value::Bool(true) => return Ok(Some((Tls::new(Verify::Full), None))),
        Value::Bool(false) => return Ok(Some((Tls::new(Verify::None), None))),
        Value::Object(_) => {}
        _ => {
            let error = params.error("tls", "`tls` must be true, false or a mapping");
            return Err(error
                .help("write { verify: none | ca | full, ca: FILE, cert: FILE, key: FILE, name: NAME }")
                .into());
        }
    }
    let mut found = Diagnostics::default();
    let node = params.given.get("tls").map(|given| &given.node);
    let at = params.span("tls");
    let more = ["name"];
    let tls = Tls::decode(value, node, at, context.folder, Verify::Full, &more, &mut found);
    let name = match value.get("name") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) if good_name(name) => Some(name.clone()),
        Some(_) => {
            let at = node.and_then(|node| node.get("name")).map_or(at, |node| &node.span);
            let error = Diagnostic::error(at, "`name` must be the name in the server's certificate");
            found.push(error.help("a host name or an address, without a port"));
            None
        }
    };
    match found.has_errors() {
        true => Err(found),
        false => Ok(Some((tls, name))),
    }
}

fn good_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:".contains(c);
    !name.is_empty() && !name.starts_with(['-', '.']) && name.chars().all(plain)
}

fn same_version(one: &str, other: &str) -> bool {
    let bare = |text: &str| text.trim().trim_start_matches('v').to_owned();
    bare(one) == bare(other)
}

fn tcp_script(host: &str, port: u16, limit: Duration) -> Result<String, Seen> {
    let source = crate::yaml::Source::new("", "");
    let host = quote(host, &crate::yaml::Span::new(&source, 0, 0))
        .map_err(|error| Seen::Never(Failure::new(error.message)))?;
    let seconds = limit.as_secs().max(1);
    Ok(format!(
        r#"h={host} p={port}
t=
command -v timeout >/dev/null 2>&1 && t='timeout {seconds}'
if command -v bash >/dev/null 2>&1; then
  out=$($t bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$h" "$p" 2>&1 </dev/null) && exit 0
  printf '%s\n' "${{out##*: }}" >&2
  exit 1
elif command -v nc >/dev/null 2>&1; then
  $t nc -z -w {seconds} "$h" "$p" </dev/null
elif command -v curl >/dev/null 2>&1; then
  curl -q -s --connect-timeout {seconds} -m {seconds} "telnet://$h:$p" </dev/null >/dev/null
  case $? in 0 | 28 | 52 | 56) exit 0 ;; *) exit 1 ;; esac
else
  echo 'the host has no program for this question: it needs bash, nc or curl' >&2
  exit {NO_PROGRAM}
fi
"#
    ))
}

fn last_line(output: &Output) -> Option<String> {
    let line = |text: &str| {
        let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
        Some(line.chars().take(200).collect::<String>())
    };
    line(&output.stderr).or_else(|| line(&output.stdout))
}

fn judge_command(output: &Output, version: Option<&str>) -> Seen {
    static VERSION: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"(?:^|[^\w.])v?(\d+(?:\.\d+)+(?:[-+~][0-9A-Za-z.+~-]*[0-9A-Za-z])?)").ok());
    if output.rc != 0 {
        return Seen::Bad(match last_line(output) {
            Some(line) => format!("exit status {}: {line}", output.rc),
            None => format!("exit status {}", output.rc),
        });
    }
    let Some(wanted) = version else {
        return Seen::Well("exit status 0".into());
    };
    let found = VERSION
        .as_ref()
        .and_then(|regex| regex.captures(&output.stdout))
        .and_then(|captures| captures.get(1));
    match found {
        Some(found) if same_version(found.as_str(), wanted) => Seen::Well(found.as_str().into()),
        Some(found) => Seen::Bad(format!("version {}", found.as_str())),
        None => Seen::Bad("no version in what it printed".into()),
    }
}

impl Page {
    fn read(url: String, params: &Params, context: &Context<'_>) -> Result<Option<Page>, Diagnostic> {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        if rest.is_none_or(str::is_empty) {
            return Err(params.error("http", "`http` must begin with http:// or https://"));
        }
        if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(params
                .error("http", "`http` holds white space")
                .help("use the filter `urlencode`"));
        }
        let Some(wanted) = http::wanted(params)? else {
            return Ok(None);
        };
        let json = params.map("json").into_iter().flatten();
        let json: Vec<(String, Value)> = json.map(|(path, value)| (path.clone(), value.clone())).collect();
        for (path, _) in &json {
            if steps(path).is_none() {
                let message = format!("`{}` is no path: write a.b[0].c", path.escape_debug());
                return Err(params.error("json", message));
            }
        }
        Ok(Some(Page {
            call: Call {
                url: quote(&url, params.span("http"))?,
                request: Request {
                    url,
                    method: "GET".to_owned(),
                    headers: Vec::new(),
                    body: None,
                    timeout: Duration::from_secs(5),
                },
                wanted,
                host: true,
                needs_curl: params.secret("http"),
                environment: environment(context),
            },
            body: params.regex("body"),
            json,
        }))
    }

    fn request(&self, limit: Duration) -> Request {
        Request {
            timeout: limit,
            ..self.call.request.clone()
        }
    }

    fn with_limit(&self, limit: Duration) -> Call {
        Call {
            request: self.request(limit),
            wanted: Vec::new(),
            host: true,
            needs_curl: self.call.needs_curl,
            url: self.call.url.clone(),
            environment: self.call.environment.clone(),
        }
    }

    fn judge(&self, answer: &Answer) -> Seen {
        let status = format!("status {}", answer.status);
        if !self.call.wanted.contains(&answer.status) {
            let start = answer.body.trim().lines().next().unwrap_or_default();
            let start: String = start.chars().take(100).collect();
            return Seen::Bad(if start.is_empty() {
                status
            } else {
                format!("{status}: {start}")
            });
        }
        if self.body.as_ref().is_some_and(|body| !body.is_match(&answer.body)) {
            return Seen::Bad(format!("{status}, and a body that does not match"));
        }
        if self.json.is_empty() {
            return Seen::Well(status);
        }
        let Ok(json) = serde_json::from_str::<Value>(&answer.body) else {
            return Seen::Bad(format!("{status}, and a body that is no JSON"));
        };
        let mut all = vec![status];
        let mut well = true;
        for (path, wanted) in &self.json {
            match find(&json, path) {
                Some(value) => {
                    well &= equal(value, wanted);
                    all.push(format!("{path} {}", text(value)));
                }
                None => {
                    well = false;
                    all.push(format!("no {path}"));
                }
            }
        }
        let seen = all.join(", ");
        if well { Seen::Well(seen) } else { Seen::Bad(seen) }
    }
}

enum Way<'a> {
    Name(&'a str),
    Index(usize),
}

/// The steps of `a.b[0].c`.
fn steps(path: &str) -> Option<Vec<Way<'_>>> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (name, mut rest) = part.split_at(part.find('[').unwrap_or(part.len()));
        if !name.is_empty() {
            steps.push(Way::Name(name));
        } else if rest.is_empty() {
            return None;
        }
        while !rest.is_empty() {
            let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(Way::Index(index.parse().ok()?));
            rest = after;
        }
    }
    Some(steps)
}

fn find<'a>(json: &'a Value, path: &str) -> Option<&'a Value> {
    // A key that holds a dot is found as it stands.
    if let Some(value) = json.get(path) {
        return Some(value);
    }
    steps(path)?.into_iter().try_fold(json, |value, step| match step {
        Way::Name(name) => value.get(name),
        Way::Index(index) => value.get(index),
    })
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().take(100).collect(),
        other => other.to_string().chars().take(100).collect(),
    }
}

fn equal(found: &Value, wanted: &Value) -> bool {
    let scalar = |value: &Value| !value.is_object() && !value.is_array() && !value.is_null();
    let whole = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    found == wanted || (scalar(found) && scalar(wanted) && whole(found) == whole(wanted))
}

fn plain(error: &str) -> String {
    let error = match error.find(" (os error") {
        Some(end) => &error[..end],
        None => error,
    };
    error.trim_start_matches("io: ").to_owned()
}
