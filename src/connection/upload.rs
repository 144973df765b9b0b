//! Files to a host: on a channel of their own, checked there before they get their name.

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::job::{Upload, UploadFrom};

use super::error::{Cause, Lost, UploadError};
use super::link::{Account, LEAST, Link};
use super::shell::{Channel, SECTION_LIMIT, marker, nonce};

/// Up to here a text goes as a word of a frame, which saves opening a channel.
const SMALL: usize = 64 << 10;
/// Up to here small files go together in one frame.
pub(crate) const TOGETHER: usize = 512 << 10;

impl Link {
    /// The account's folder of uploads, as text for a shell.
    async fn uploads(&self, account: &Account) -> Result<String, Lost> {
        let lease = self.lease().ok_or_else(|| Lost {
            text: "the host lock is not held".to_owned(),
            cause: Some(Cause::Fenced),
        })?;
        // The facts tell the uid, and the uid the folder.
        self.facts(account).await?;
        let slot = self.slot(account);
        let slot = slot.lock().await;
        Ok(format!("{}/uploads", self.folder(&slot, account, &lease).0))
    }

    /// Sends a file to the account's `$REFIT_UPLOADS` unless it is there already; `progress` gets the bytes sent so
    /// far. The lock must be held. Mode 0600; it has its name only once its sha256 was found right on the host.
    pub(crate) async fn upload(
        &self,
        account: &Account,
        upload: &Upload,
        progress: impl Fn(u64) + Send,
    ) -> Result<(), UploadError> {
        let sha = upload.sha256.as_str();
        if !is_sha256(sha) {
            return Err(UploadError::Failed(format!("`{}` is no sha256", sha.escape_debug())));
        }
        let folder = self.uploads(account).await?;
        let id = nonce();
        let file = format!("{folder}/{sha}");
        let part = format!("{folder}/.{}-{}", &sha[..16], &id[..8]);
        let small = match &upload.from {
            UploadFrom::Bytes(bytes) if bytes.len() <= SMALL && !bytes.contains(&0) => Some(bytes),
            _ => None,
        };
        let check = format!("[ -f {file} ] && [ \"$(sha256sum <{file})\" = \"{sha}  -\" ]");
        let mut frame = format!("N={id}; umask 077; mkdir -p {folder} 2>&1\n").into_bytes();
        if let Some(bytes) = small {
            frame.extend_from_slice(format!("if {check}; then :; else {{ printf %s ").as_bytes());
            quoted(&mut frame, bytes);
            frame.extend_from_slice(
                format!(" >{part} && mv -f {part} {file}; }} 2>&1 || rm -f {part}; fi\n").as_bytes(),
            );
        }
        frame.extend_from_slice(
            format!("if {check}; then h=yes; else h=no; fi; printf '\\n\\036%s have %s\\n' $N $h\n").as_bytes(),
        );
        let mut have = false;
        let mut said = String::new();
        self.exchange(account, &id, &frame, |section| {
            have = section.words == "have yes";
            said = String::from_utf8_lossy(&section.body).trim().to_owned();
        })
        .await?;
        if have {
            progress(upload.size);
            return Ok(());
        }
        if !said.is_empty() || small.is_some() {
            return Err(UploadError::Failed(format!("cannot store a file in {folder}: {said}")));
        }
        let text = format!(
            "umask 077; if cat >{part} && [ \"$(sha256sum <{part})\" = \"{sha}  -\" ] && mv -f {part} {file}; then r=good; else r=bad; rm -f {part}; fi; printf \"\\n\\036{id} $r\\n\""
        );
        let limit = self.target.timeout.max(LEAST);
        let mut channel = Channel::open(
            &self.reach,
            account,
            &self.target.sudo,
            &self.target.shell,
            &text,
            limit,
        )
        .await
        .map_err(Lost::from)?;
        let sent = send(&mut channel, upload, progress).await;
        channel.stdin = None;
        if let Err(Sent::Source(error)) = sent {
            return Err(UploadError::Failed(error));
        }
        let answer = channel.stdout.next(&marker(&id), SECTION_LIMIT).await;
        match answer {
            Ok(section) if section.words == "good" => Ok(()),
            Ok(_) => {
                let printed = channel.printed().await;
                let why = if printed.is_empty() {
                    "what arrived has another sha256".to_owned()
                } else {
                    printed
                };
                Err(UploadError::Failed(format!("cannot store a file in {folder}: {why}")))
            }
            Err(_) => Err(match self.gone().await {
                Some(lost) => lost.into(),
                None => Lost::new(format!("the upload's channel ended: {}", channel.printed().await)).into(),
            }),
        }
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// One word of the shell.
fn quoted(frame: &mut Vec<u8>, bytes: &[u8]) {
    frame.push(b'\'');
    for byte in bytes {
        match byte {
            b'\'' => frame.extend_from_slice(br"'\''"),
            other => frame.push(*other),
        }
    }
    frame.push(b'\'');
}

/// A job's small files, by their sha256, which go in the frame that starts it; and the others, which `upload` sends before.
pub(crate) fn in_frame(uploads: &[Upload]) -> (Vec<(&str, String)>, Vec<&Upload>) {
    let (mut texts, mut others) = (Vec::new(), Vec::new());
    let mut size = 0;
    for upload in uploads {
        match text_of(upload).filter(|text| size + text.len() <= TOGETHER) {
            Some(text) => {
                size += text.len();
                texts.push((upload.sha256.as_str(), text));
            }
            None => others.push(upload),
        }
    }
    (texts, others)
}

fn text_of(upload: &Upload) -> Option<String> {
    if upload.size > SMALL as u64 || !is_sha256(&upload.sha256) {
        return None;
    }
    let bytes = match &upload.from {
        UploadFrom::Bytes(bytes) => bytes.as_ref().clone(),
        UploadFrom::File(path) => std::fs::read(path).ok()?,
    };
    let sum: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let whole = bytes.len() <= SMALL && sum == upload.sha256;
    String::from_utf8(bytes)
        .ok()
        .filter(|text| whole && !text.contains('\0'))
}

enum Sent {
    /// The controller's side.
    Source(String),
    /// The host's side; why is asked there.
    Sink,
}

async fn send(channel: &mut Channel, upload: &Upload, progress: impl Fn(u64) + Send) -> Result<(), Sent> {
    let Some(stdin) = &mut channel.stdin else {
        return Err(Sent::Sink);
    };
    let mut sent = 0;
    match &upload.from {
        UploadFrom::Bytes(bytes) => {
            for chunk in bytes.chunks(64 << 10) {
                stdin.write_all(chunk).await.map_err(|_| Sent::Sink)?;
                sent += chunk.len() as u64;
                progress(sent);
            }
        }
        UploadFrom::File(path) => {
            let trouble = |error: std::io::Error| Sent::Source(format!("{}: {error}", path.display()));
            let mut file = tokio::fs::File::open(path).await.map_err(trouble)?;
            let mut buffer = vec![0; 64 << 10];
            loop {
                let read = file.read(&mut buffer).await.map_err(trouble)?;
                if read == 0 {
                    break;
                }
                stdin.write_all(&buffer[..read]).await.map_err(|_| Sent::Sink)?;
                sent += read as u64;
                progress(sent);
            }
        }
    }
    stdin.flush().await.map_err(|_| Sent::Sink)
}
