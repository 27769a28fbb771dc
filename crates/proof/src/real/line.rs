//! What a process that appends tells whoever started it, a line each.

use std::io::Write;

use crate::promise::Promise;

/// Something that it tells.
#[derive(Debug, Clone)]
pub enum Line {
    /// Appends with smaller numbers may have been handed over.
    Handed(u64),
    /// It was promised something.
    Promised(Promise),
    /// It cannot go on.
    Failed(String),
}

impl Line {
    /// Tells it. Whoever listens may have gone: then there is nothing more to do.
    pub fn tell(&self) {
        let Some(text) = self.encode() else { return };
        let mut out = std::io::stdout().lock();
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            std::process::exit(1);
        }
    }

    fn encode(&self) -> Option<String> {
        let text = match self {
            Self::Handed(number) => format!("handed {number}\n"),
            Self::Promised(Promise::Acknowledged { append, position, durable }) => {
                format!("acknowledged {append} {position} {}\n", u8::from(*durable))
            }
            Self::Promised(Promise::Synced) => "synced\n".to_owned(),
            Self::Promised(Promise::SyncedBelow(position)) => format!("below {position}\n"),
            Self::Promised(Promise::Reached { entity, version }) => {
                format!("reached {version} {entity}\n")
            }
            Self::Promised(Promise::KeptAside(bytes)) => format!("aside {bytes}\n"),
            Self::Promised(Promise::Settled { .. }) => return None,
            Self::Failed(message) => format!("failed {}\n", message.replace('\n', " ")),
        };
        Some(text)
    }

    /// Reads it.
    pub fn decode(text: &str) -> Option<Self> {
        let (what, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut words = rest.split(' ');
        let mut number = || words.next()?.parse().ok();
        let promise = match what {
            "handed" => return Some(Self::Handed(number()?)),
            "failed" => return Some(Self::Failed(rest.to_owned())),
            "acknowledged" => Promise::Acknowledged {
                append: number()?,
                position: number()?,
                durable: number()? == 1,
            },
            "synced" => Promise::Synced,
            "below" => Promise::SyncedBelow(number()?),
            "reached" => {
                let (version, entity) = rest.split_once(' ')?;
                Promise::Reached { entity: entity.to_owned(), version: version.parse().ok()? }
            }
            "aside" => Promise::KeptAside(number()?),
            _ => return None,
        };
        Some(Self::Promised(promise))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_understood() {
        let lines = [
            Line::Handed(7),
            Line::Promised(Promise::Acknowledged { append: 1, position: 2, durable: true }),
            Line::Promised(Promise::Acknowledged { append: 1, position: 2, durable: false }),
            Line::Promised(Promise::Synced),
            Line::Promised(Promise::SyncedBelow(9)),
            Line::Promised(Promise::Reached { entity: "a b".to_owned(), version: 3 }),
            Line::Promised(Promise::KeptAside(5)),
            Line::Failed("no space left".to_owned()),
        ];
        for line in lines {
            let text = line.encode().unwrap();
            let read = Line::decode(text.strip_suffix('\n').unwrap());
            assert_eq!(format!("{:?}", read.unwrap()), format!("{line:?}"));
        }
    }
}
