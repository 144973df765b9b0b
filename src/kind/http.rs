//! Makes one HTTP request, from the controller or from the host.
//!
//!     - http: { url: "http://{{ ansible_host }}:8080/leader", status: [200, 404] }
//!       register: leader
//!     - http: { url: "https://lb.internal/drain", method: POST, body: { node: "{{ inventory_hostname }}" }, headers: { Authorization: "Bearer {{ token }}" } }
//!
//! GET and HEAD read: they follow redirects and may be repeated. Any other method counts as a change, and is made once; when
//! the controller dies in the middle of such a request of its own, nobody knows whether it arrived. To wait until something
//! answers use `health`, or `until` with `retries` and `delay`.
//!
//! A `body` that is a mapping or a list is sent as JSON. The step fails where the status is another than `status` (default
//! 200). In the result `status` is the number, `body` the text (up to 1 MiB), `json` what it says where it is JSON.
//!
//! `from: host` uses the host's `curl`, which is given headers and body on its standard input; where only `wget` is there, GET
//! without headers and secrets works.

use std::io::Read as _;
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::sh::{self, quote};
use super::{
    Action, BoxFuture, Changing, Context, Done, DriveAction, Failure, Job, Kind, Output, Param, Params, Probe, Reading,
    Ty, Verdict, list,
};
use crate::yaml::{Diagnostic, Diagnostics};

pub(super) struct Http;
pub(super) static KIND: Http = Http;

const PARAMS: &[Param] = &[
    Param::required("url", Ty::Text, "http:// or https://"),
    Param::new("method", Ty::Choice(METHODS), "default GET"),
    Param::new("headers", Ty::Map, "name and value of each"),
    Param::new("body", Ty::Any, "text, or what is sent as JSON"),
    Param::new(
        "status",
        Ty::Any,
        "the status that is wanted, or a list of these; default 200",
    ),
    Param::new(
        "from",
        Ty::Choice(&["controller", "host"]),
        "where the request is made; default controller",
    ),
    Param::new("timeout", Ty::Duration, "for the whole request; default 30s"),
];

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// How much of a body is kept.
const BODY_LIMIT: u64 = 1024 * 1024;

/// The variable that brings curl its configuration.
const VARIABLE: &str = "REFIT_HTTP";

/// Printed by curl before the status.
const MARK: &str = "\u{1e}status ";

#[derive(Clone)]
pub(super) struct Request {
    pub(super) url: String,
    pub(super) method: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<String>,
    pub(super) timeout: Duration,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

pub(super) struct Call {
    pub(super) request: Request,
    pub(super) wanted: Vec<u16>,
    pub(super) host: bool,
    /// Where wget must not be used.
    pub(super) needs_curl: bool,
    /// The address as a word of the shell.
    pub(super) url: String,
    pub(super) environment: IndexMap<String, String>,
}

impl Request {
    fn reads(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }

    /// Makes the request from here. Blocks.
    pub(super) fn send(&self) -> Result<Answer, String> {
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::PlatformVerifier)
            .build();
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(self.timeout))
            .max_redirects(if self.reads() { 10 } else { 0 })
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .user_agent(concat!("refit/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build()
            .into();
        let mut request = ureq::http::Request::builder()
            .method(self.method.as_str())
            .uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = match &self.body {
            Some(body) => agent.run(request.body(body.as_str()).map_err(|error| error.to_string())?),
            None => agent.run(request.body(()).map_err(|error| error.to_string())?),
        };
        let mut response = response.map_err(|error| error.to_string())?;
        let mut body = Vec::new();
        let reader = response.body_mut().as_reader();
        reader
            .take(BODY_LIMIT)
            .read_to_end(&mut body)
            .map_err(|error| error.to_string())?;
        Ok(Answer {
            status: response.status().as_u16(),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// What curl reads as `-K -`.
    fn configuration(&self) -> String {
        let text = |value: &str| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            let value = value.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t");
            format!("\"{value}\"")
        };
        let mut lines = vec![
            "silent".to_owned(),
            "show-error".to_owned(),
            "globoff".to_owned(),
            "proto = \"=http,https\"".to_owned(),
            format!("url = {}", text(&self.url)),
            format!("max-time = {}", self.timeout.as_secs_f64()),
            "write-out = \"\\n\u{1e}status %{http_code}\\n\"".to_owned(),
        ];
        match self.method.as_str() {
            "HEAD" => lines.push("head\noutput = \"/dev/null\"".to_owned()),
            method => lines.push(format!("request = {}", text(method))),
        }
        if self.reads() {
            lines.push("location\nmax-redirs = 10".to_owned());
        }
        for (name, value) in &self.headers {
            // A header without a value is written with a semicolon.
            let header = match value.is_empty() {
                true => format!("{name};"),
                false => format!("{name}: {value}"),
            };
            lines.push(format!("header = {}", text(&header)));
        }
        if let Some(body) = &self.body {
            lines.push(format!("data-raw = {}", text(body)));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

impl Call {
    pub(super) fn script(&self) -> String {
        // The time limit of wget is the probe's: `-T` makes some builds of busybox crash.
        let wget = match self.needs_curl {
            true => "false".to_owned(),
            false => "command -v wget >/dev/null 2>&1".to_owned(),
        };
        let asks = if self.needs_curl { "curl" } else { "curl or wget" };
        format!(
            r#"if command -v curl >/dev/null 2>&1; then
  printf %s "${VARIABLE}" | {{
    unset {VARIABLE}
    exec curl -q -K -
  }}
elif {wget}; then
  unset {VARIABLE}
  exec wget -S -t 1 -O - -- {url}
else
  echo 'the host has no program for this request: it needs {asks}' >&2
  exit 90
fi
"#,
            url = self.url
        )
    }

    pub(super) fn environment(&self) -> IndexMap<String, String> {
        let mut environment = self.environment.clone();
        environment.insert(VARIABLE.to_owned(), self.request.configuration());
        environment
    }

    /// What curl or wget printed.
    pub(super) fn read(&self, output: &Output) -> Result<Answer, Failure> {
        if let Some((body, status)) = output.stdout.rsplit_once(MARK)
            && let Some(status) = status.trim().parse().ok().filter(|_| output.rc == 0)
        {
            let body = body.strip_suffix('\n').unwrap_or(body).to_owned();
            return Ok(Answer { status, body });
        }
        let status = output.stderr.lines().rev().find_map(|line| {
            let status = line.trim().strip_prefix("HTTP/")?.split_whitespace().nth(1)?;
            status.parse().ok()
        });
        match status {
            Some(status) => Ok(Answer {
                status,
                body: output.stdout.clone(),
            }),
            None => {
                let failure = sh::broken(output);
                Err(self.failed(&failure.message))
            }
        }
    }

    fn failed(&self, why: &str) -> Failure {
        Failure::new(format!("{} {}: {why}", self.request.method, self.request.url))
    }

    fn judge(&self, answer: Answer) -> Result<Done, Failure> {
        let mut body = answer.body;
        if body.len() as u64 > BODY_LIMIT {
            let end = (0..=BODY_LIMIT as usize)
                .rev()
                .find(|end| body.is_char_boundary(*end))
                .unwrap_or(0);
            body.truncate(end);
        }
        let start = body.trim_start();
        let json = match start.starts_with(['{', '[']) {
            true => serde_json::from_str::<Value>(start).unwrap_or(Value::Null),
            false => Value::Null,
        };
        let result = json!({ "status": answer.status, "body": body, "json": json });
        if !self.wanted.contains(&answer.status) {
            let wanted = self.wanted.iter().map(u16::to_string).collect::<Vec<_>>().join(" or ");
            return Err(self
                .failed(&format!("status {}, wanted {wanted}", answer.status))
                .with(result));
        }
        Ok(Done {
            changed: !self.request.reads(),
            result,
            diff: None,
            message: None,
        })
    }
}

impl DriveAction for Call {
    fn check<'a>(&'a self, _host: &'a dyn Reading) -> BoxFuture<'a, Result<Verdict, Failure>> {
        Box::pin(async {
            Ok(Verdict::Differs {
                predicted: json!({}),
                diff: None,
            })
        })
    }

    fn apply<'a>(&'a self, host: &'a dyn Changing) -> BoxFuture<'a, Result<Done, Failure>> {
        Box::pin(async move {
            if !self.host {
                let request = self.request.clone();
                let sent = tokio::task::spawn_blocking(move || request.send());
                let answer = sent.await.map_err(|error| self.failed(&error.to_string()))?;
                return self.judge(answer.map_err(|why| self.failed(&why))?);
            }
            let output = if self.request.reads() {
                let probe = Probe {
                    environment: self.environment(),
                    timeout: Some(self.request.timeout + Duration::from_secs(5)),
                    ..Probe::new(self.script())
                };
                host.reading().probe(&probe).await?
            } else {
                let job = Job {
                    environment: self.environment(),
                    ..Job::new(self.script())
                };
                host.job("http", &job).await?
            };
            self.judge(self.read(&output)?)
        })
    }

    fn settle<'a>(&'a self, _host: &'a dyn Changing) -> BoxFuture<'a, Result<Option<Done>, Failure>> {
        Box::pin(async {
            // A job on the host is adopted when it is asked for again.
            if self.host || self.request.reads() {
                return Ok(None);
            }
            Err(Failure {
                unknown: true,
                ..self.failed("the controller died in the middle of it; whether the request arrived is not known")
            })
        })
    }

    fn reads_only(&self) -> bool {
        self.request.reads()
    }
}

/// The statuses that are wanted; None while they are not known.
pub(super) fn wanted(params: &Params) -> Result<Option<Vec<u16>>, Diagnostic> {
    if !params.has("status") {
        return Ok(Some(vec![200]));
    }
    let Some(value) = params.value("status") else {
        return Ok(None);
    };
    let items = match value {
        Value::Array(items) if !items.is_empty() => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let number = |item: &Value| -> Option<u16> {
        let number = match item {
            Value::String(text) => text.trim().parse().ok()?,
            other => u16::try_from(other.as_u64()?).ok()?,
        };
        (100..600).contains(&number).then_some(number)
    };
    match items.iter().map(number).collect::<Option<Vec<u16>>>() {
        Some(wanted) => Ok(Some(wanted)),
        None => Err(params.error(
            "status",
            "`status` must be a number from 100 to 599, or a list of these",
        )),
    }
}

/// Names are tokens, values have no line ends: a value of the inventory cannot add a header.
fn headers(params: &Params) -> Result<Vec<(String, String)>, Diagnostic> {
    let mut headers = Vec::new();
    for (name, value) in params.map("headers").into_iter().flatten() {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(params.error("headers", format!("the header `{name}` must be text"))),
        };
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(token) {
            let message = format!("`{}` cannot be the name of a header", name.escape_debug());
            return Err(params.error("headers", message));
        }
        if value.chars().any(|c| c.is_control() && c != '\t') {
            return Err(params.error("headers", format!("the header `{name}` holds a control character")));
        }
        headers.push((name.clone(), value));
    }
    Ok(headers)
}

impl Kind for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn manual(&self) -> &'static str {
        list::manual!("http.rs")
    }

    fn params(&self) -> &'static [Param] {
        PARAMS
    }

    fn results(&self) -> &'static [&'static str] {
        &["status", "body", "json"]
    }

    fn lint(&self, params: &Params, _context: &Context<'_>) -> Diagnostics {
        let mut found = Diagnostics::default();
        if let Some(url) = params.text("url") {
            let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
            if rest.is_none_or(str::is_empty) {
                found.push(params.error("url", "`url` must begin with http:// or https://"));
            } else if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
                found.push(
                    params
                        .error("url", "`url` holds white space")
                        .help("use the filter `urlencode`"),
                );
            }
        }
        found.extend(wanted(params).err());
        found.extend(headers(params).err());
        if params
            .choice("method")
            .is_none_or(|method| ["GET", "HEAD"].contains(&method.as_str()))
            && !params.pending("method")
            && params.has("body")
        {
            found.push(
                params
                    .error("body", "a request that reads has no body")
                    .help("write `method: POST`"),
            );
        }
        if params.text("body").is_some_and(|body| body.contains('\0'))
            && params.choice("from").as_deref() == Some("host")
        {
            found.push(params.error("body", "a NUL character cannot be sent from a host"));
        }
        found
    }

    fn action(&self, params: &Params, context: &Context<'_>) -> Result<Action, Diagnostics> {
        let found = self.lint(params, context);
        if found.has_errors() {
            return Err(found);
        }
        let url = params.required_text("url")?;
        let mut headers = headers(params)?;
        let body = match params.value("body") {
            Some(body @ (Value::Object(_) | Value::Array(_))) => {
                if !headers
                    .iter()
                    .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
                {
                    headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
                }
                Some(body.to_string())
            }
            Some(_) => params.text("body"),
            None => None,
        };
        let method = params.choice("method").unwrap_or_else(|| "GET".to_owned());
        let needs_curl = method != "GET" || !headers.is_empty() || params.secret("url");
        let word = if params.secret("url") {
            String::new()
        } else {
            quote(&url, params.span("url"))?
        };
        Ok(Action::Drive(Box::new(Call {
            request: Request {
                url,
                method,
                headers,
                body,
                timeout: params.duration("timeout").unwrap_or(Duration::from_secs(30)),
            },
            wanted: wanted(params)?.unwrap_or_default(),
            host: params.choice("from").as_deref() == Some("host"),
            needs_curl,
            url: word,
            environment: sh::environment(context),
        })))
    }
}
