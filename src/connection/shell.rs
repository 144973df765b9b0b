//! One `/bin/sh` of one account: how it is opened, and frames of text that go down and sections that come back.
//!
//! A section is what was printed before a marker line, `\n\036NONCE words\n`; the nonce is random for every frame, so
//! that nothing a script prints passes for a marker.

use std::future::Future;
use std::hash::BuildHasher;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::error::{Cause, ConnectError, Lost, diagnose_sudo};
use super::{Account, Sudo};

/// The most of one section that is kept.
pub(super) const SECTION_LIMIT: usize = 8 << 20;

/// The command of a channel: ends the channel's process group when its stdin ends, so that probes die with the
/// connection. Jobs have left the group. Only the shell holds the channel's outputs, so that its death is seen; it is
/// not in the background, where it would ignore SIGINT, and all its children too. One line, no quote, no `!`: it goes
/// through login shells of every kind.
const PUMP: &str = "{ { cat <&3; exec >/dev/null 3<&-; trap : TERM; kill -s TERM 0; sleep 1; kill -s KILL 0; } 2>/dev/null & } 3<&0 | exec SHELL";

/// How channels to a host are opened.
pub(super) enum Reach {
    Ssh(Arc<openssh::Session>),
    Local,
}

/// A process on the host with three streams.
pub(super) struct Channel {
    pub(super) stdin: Option<Box<dyn AsyncWrite + Send + Sync + Unpin>>,
    pub(super) stdout: Stream,
    pub(super) stderr: Stream,
    _process: Process,
}

enum Process {
    Ssh {
        _child: openssh::Child<Arc<openssh::Session>>,
    },
    Local {
        _child: tokio::process::Child,
    },
}

/// A random word that nobody on the host can guess.
pub(super) fn nonce() -> String {
    let random = |salt: u8| std::hash::RandomState::new().hash_one((salt, uuid::Uuid::now_v7()));
    format!("{:016x}{:016x}", random(1), random(2))
}

impl Channel {
    /// Starts `text` under `shell -c` as `account`, and gives the password to sudo where it asks. `text` must hold
    /// neither `'` nor `!` nor a line end.
    pub(super) async fn open(
        reach: &Reach,
        account: &Account,
        sudo: &Sudo,
        shell: &str,
        text: &str,
        limit: Duration,
    ) -> Result<Channel, ConnectError> {
        let nonce = nonce();
        let inner = format!(r#"printf "\n\036{nonce} ready\n"; {text}"#);
        let command = match account {
            Account::Login => format!("exec {shell} -c '{inner}'"),
            Account::Sudo(user) => {
                let ask = match sudo.password {
                    Some(_) => format!("-S -p {nonce}"),
                    None => "-n".to_owned(),
                };
                let flags: String = sudo.flags.iter().map(|flag| format!(" {flag}")).collect();
                format!("exec {} -k -H {ask}{flags} -u {user} -- {shell} -c '{inner}'", sudo.exe)
            }
        };
        let spawned = timeout(limit, Channel::spawn(reach, &command)).await;
        let mut channel = spawned.map_err(|_| no_shell("", limit))??;
        let answered = match (account, &sudo.password) {
            (Account::Sudo(user), Some(password)) => {
                timeout(limit, channel.answer(user, &nonce, password.reveal())).await
            }
            _ => timeout(limit, channel.ready(account, &nonce, limit)).await,
        };
        match answered {
            Ok(result) => result?,
            Err(_) => return Err(no_shell(&channel.printed().await, limit)),
        }
        Ok(channel)
    }

    async fn spawn(reach: &Reach, command: &str) -> Result<Channel, ConnectError> {
        match reach {
            Reach::Ssh(session) => {
                let mut child = session
                    .clone()
                    .arc_raw_command(command)
                    .stdin(openssh::Stdio::piped())
                    .stdout(openssh::Stdio::piped())
                    .stderr(openssh::Stdio::piped())
                    .spawn()
                    .await
                    .map_err(|error| ConnectError::new(Cause::Other, chain(&error)))?;
                let (Some(stdin), Some(stdout), Some(stderr)) =
                    (child.stdin().take(), child.stdout().take(), child.stderr().take())
                else {
                    return Err(ConnectError::new(Cause::Other, "a channel without streams"));
                };
                Ok(Channel {
                    stdin: Some(Box::new(stdin)),
                    stdout: Stream::new(Box::new(stdout)),
                    stderr: Stream::new(Box::new(stderr)),
                    _process: Process::Ssh { _child: child },
                })
            }
            Reach::Local => {
                let mut child = tokio::process::Command::new("setsid")
                    .args(["/bin/sh", "-c", command])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .map_err(|error| ConnectError::new(Cause::Controller, format!("setsid: {error}")))?;
                let (Some(stdin), Some(stdout), Some(stderr)) =
                    (child.stdin.take(), child.stdout.take(), child.stderr.take())
                else {
                    return Err(ConnectError::new(Cause::Other, "a channel without streams"));
                };
                Ok(Channel {
                    stdin: Some(Box::new(stdin)),
                    stdout: Stream::new(Box::new(stdout)),
                    stderr: Stream::new(Box::new(stderr)),
                    _process: Process::Local { _child: child },
                })
            }
        }
    }

    /// Waits for the ready line; whatever stands before it is a talkative login.
    async fn ready(&mut self, account: &Account, nonce: &str, limit: Duration) -> Result<(), ConnectError> {
        let marker = marker(nonce);
        if self.stdout.next(&marker, SECTION_LIMIT).await.is_ok() {
            return Ok(());
        }
        let printed = self.printed().await;
        Err(match account {
            Account::Sudo(user) => diagnose_sudo(user, &printed),
            Account::Login => no_shell(&printed, limit),
        })
    }

    /// sudo's prompt (our nonce, on stderr) or the ready line, whichever comes. The password is written only after
    /// the prompt was read: a shell that needed none would take it for a command.
    async fn answer(&mut self, user: &str, nonce: &str, password: &str) -> Result<(), ConnectError> {
        let marker = marker(nonce);
        let asked = tokio::select! {
            biased;
            ready = self.stdout.next(&marker, SECTION_LIMIT) => match ready {
                Ok(_) => return Ok(()),
                Err(_) => false,
            },
            asked = self.stderr.until(nonce.as_bytes()) => asked,
        };
        if !asked {
            let printed = self.printed().await;
            return Err(diagnose_sudo(user, &printed));
        }
        let mut line = zeroize::Zeroizing::new(password.as_bytes().to_vec());
        line.push(b'\n');
        if let Some(stdin) = &mut self.stdin {
            let sent = async {
                stdin.write_all(&line).await?;
                stdin.flush().await
            };
            if let Err(error) = sent.await {
                return Err(diagnose_sudo(user, &error.to_string()));
            }
        }
        let again = tokio::select! {
            biased;
            ready = self.stdout.next(&marker, SECTION_LIMIT) => match ready {
                Ok(_) => return Ok(()),
                Err(_) => false,
            },
            again = self.stderr.until(nonce.as_bytes()) => again,
        };
        let printed = self.printed().await.replace(nonce, "");
        Err(if again {
            diagnose_sudo(user, &format!("{printed}\nSorry, try again."))
        } else {
            diagnose_sudo(user, &printed)
        })
    }

    /// What both streams hold so far and say within a moment, for a message.
    pub(super) async fn printed(&mut self) -> String {
        self.stdin = None;
        let wait = Duration::from_millis(500);
        let _ = timeout(wait, async { tokio::join!(self.stdout.drain(), self.stderr.drain()) }).await;
        let mut text = self.stderr.text();
        let out = self.stdout.text();
        if !out.trim().is_empty() {
            text = format!("{}\n{}", text.trim_end(), out);
        }
        short(&text)
    }
}

fn no_shell(printed: &str, limit: Duration) -> ConnectError {
    let text = if printed.trim().is_empty() {
        format!("no shell answered within {} s", limit.as_secs())
    } else {
        format!("no shell answered; this came instead: {}", printed.trim())
    };
    ConnectError {
        cause: Cause::NoShell,
        text,
        hint: Some("the login must be able to run `exec /bin/sh` (ForceCommand, a restricted shell or a start-up file that blocks?)".to_owned()),
    }
}

/// The first 2,000 characters, trimmed.
fn short(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().nth(2000) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text.to_owned(),
    }
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        next = error.source();
    }
    text
}

pub(super) fn marker(nonce: &str) -> Vec<u8> {
    format!("\n\x1e{nonce} ").into_bytes()
}

/// What stood before a marker, and the marker's words.
#[derive(Debug, Default)]
pub(super) struct Section {
    pub(super) words: String,
    pub(super) body: Vec<u8>,
    /// Bytes that were too many and are gone.
    pub(super) dropped: u64,
}

/// A stream of sections.
pub(super) struct Stream {
    reader: Box<dyn AsyncRead + Send + Sync + Unpin>,
    buffer: Vec<u8>,
    /// No marker begins before this place of `buffer`.
    scanned: usize,
    dropped: u64,
}

impl Stream {
    fn new(reader: Box<dyn AsyncRead + Send + Sync + Unpin>) -> Stream {
        Stream {
            reader,
            buffer: Vec::new(),
            scanned: 0,
            dropped: 0,
        }
    }

    /// The next section; an error is the stream's end. Safe to cancel.
    pub(super) async fn next(&mut self, marker: &[u8], limit: usize) -> std::io::Result<Section> {
        loop {
            if let Some(section) = self.take(marker) {
                return Ok(section);
            }
            // Only the part that could still be the beginning of a marker is kept beyond the limit.
            if self.scanned > limit && self.buffer.len() > limit {
                self.dropped += (self.scanned - limit) as u64;
                self.buffer.drain(limit..self.scanned);
                self.scanned = limit;
            }
            if self.fill().await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take(&mut self, marker: &[u8]) -> Option<Section> {
        let start = match find(&self.buffer, marker, self.scanned) {
            Some(start) => start,
            None => {
                self.scanned = self.buffer.len().saturating_sub(marker.len() - 1);
                return None;
            }
        };
        self.scanned = start;
        let words = start + marker.len();
        let end = words + self.buffer[words..].iter().position(|byte| *byte == b'\n')?;
        let section = Section {
            words: String::from_utf8_lossy(&self.buffer[words..end]).into_owned(),
            body: self.buffer[..start].to_vec(),
            dropped: std::mem::take(&mut self.dropped),
        };
        self.buffer.drain(..=end);
        self.scanned = 0;
        Some(section)
    }

    /// Reads until `word` has come, which is taken away with all before it; false at the stream's end.
    async fn until(&mut self, word: &[u8]) -> bool {
        loop {
            if let Some(start) = find(&self.buffer, word, 0) {
                self.buffer.drain(..start + word.len());
                self.scanned = 0;
                return true;
            }
            if self.buffer.len() > SECTION_LIMIT || !matches!(self.fill().await, Ok(1..)) {
                return false;
            }
        }
    }

    async fn fill(&mut self) -> std::io::Result<usize> {
        self.buffer.reserve(16 << 10);
        self.reader.read_buf(&mut self.buffer).await
    }

    async fn drain(&mut self) {
        while self.buffer.len() < 64 << 10 && matches!(self.fill().await, Ok(1..)) {}
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = from;
    while let Some(step) = haystack.get(at..)?.iter().position(|byte| *byte == first) {
        at += step;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
    None
}

/// A shell that takes frames.
pub(super) struct Shell {
    channel: Channel,
    /// The lease that its functions and variables were set for; 0: none yet.
    pub(super) prepared: u64,
}

/// How a frame ended early.
#[derive(Debug)]
pub(super) enum Broken {
    /// Nothing came for so long.
    Silent(Duration),
    /// The shell's streams ended; what was printed last.
    Ended(String),
}

impl From<Broken> for Lost {
    fn from(broken: Broken) -> Lost {
        match broken {
            Broken::Silent(limit) => Lost::new(format!("no answer within {} s", limit.as_secs())),
            Broken::Ended(printed) if printed.is_empty() => Lost::new("the channel ended"),
            Broken::Ended(printed) => Lost::new(format!("the channel ended: {printed}")),
        }
    }
}

impl Shell {
    pub(super) async fn open(
        reach: &Reach,
        account: &Account,
        sudo: &Sudo,
        shell: &str,
        limit: Duration,
    ) -> Result<Shell, ConnectError> {
        let pump = PUMP.replace("SHELL", shell);
        Ok(Shell {
            channel: Channel::open(reach, account, sudo, shell, &pump, limit).await?,
            prepared: 0,
        })
    }

    /// Sends `text` and gives each section of stdout to `on`, which answers how long to wait for the next one (None:
    /// for ever). `errors` gets the sections of stderr. The markers `end` on both streams are ours. A frame that was dropped or
    /// failed leaves the shell unusable.
    pub(super) async fn frame(
        &mut self,
        nonce: &str,
        text: impl AsRef<[u8]>,
        first: Option<Duration>,
        errors: &mut Vec<Section>,
        on: impl FnMut(Section) -> Option<Duration>,
    ) -> Result<(), Broken> {
        let result = self.transfer(nonce, text.as_ref(), first, errors, on).await;
        match result {
            Err(Broken::Ended(_)) => Err(Broken::Ended(self.channel.printed().await)),
            result => result,
        }
    }

    async fn transfer(
        &mut self,
        nonce: &str,
        text: &[u8],
        first: Option<Duration>,
        errors: &mut Vec<Section>,
        mut on: impl FnMut(Section) -> Option<Duration>,
    ) -> Result<(), Broken> {
        let marker = marker(nonce);
        let mut whole = zeroize::Zeroizing::new(text.to_vec());
        whole.extend_from_slice(
            format!("\nprintf '\\n\\036%s end\\n' {nonce}; printf '\\n\\036%s end\\n' {nonce} >&2\n").as_bytes(),
        );
        let Channel {
            stdin, stdout, stderr, ..
        } = &mut self.channel;
        let write = async {
            if let Some(stdin) = stdin {
                // A shell that has died says why on its streams.
                let _ = stdin.write_all(&whole).await;
                let _ = stdin.flush().await;
            }
        };
        let read = async {
            let mut limit = first;
            loop {
                let section = within(limit, stdout.next(&marker, SECTION_LIMIT)).await?;
                if section.words == "end" {
                    return Ok(());
                }
                limit = on(section);
            }
        };
        let collect = async {
            loop {
                let section = within(None, stderr.next(&marker, SECTION_LIMIT)).await?;
                let end = section.words == "end";
                errors.push(section);
                if end {
                    return Ok(());
                }
            }
        };
        // The end of stderr alone decides nothing while stdout still speaks of results.
        let both = async {
            tokio::pin!(collect, read);
            let mut said = None;
            loop {
                tokio::select! {
                    biased;
                    result = &mut read => {
                        result?;
                        break;
                    }
                    result = &mut collect, if said.is_none() => said = Some(result),
                }
            }
            match said {
                Some(result) => result,
                None => timeout(SETTLE, collect).await.unwrap_or(Err(Broken::Silent(SETTLE))),
            }
        };
        tokio::pin!(both, write);
        let ended = tokio::select! {
            biased;
            result = &mut both => result,
            () = &mut write => both.await,
        };
        ended
    }
}

/// How long stderr may lag behind stdout.
const SETTLE: Duration = Duration::from_secs(30);

async fn within<T>(limit: Option<Duration>, next: impl Future<Output = std::io::Result<T>>) -> Result<T, Broken> {
    let result = match limit {
        Some(limit) => timeout(limit, next).await.map_err(|_| Broken::Silent(limit))?,
        None => next.await,
    };
    result.map_err(|_| Broken::Ended(String::new()))
}
