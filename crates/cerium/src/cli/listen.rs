//! Where a server listens, as people write it: `127.0.0.1:8383`, `8383`, `unix:/run/cerium.sock`.

use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// An address, or the path of a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Listen {
    At(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        if let Ok(port) = text.parse::<u16>() {
            return Ok(Self::At((Ipv4Addr::LOCALHOST, port).into()));
        }
        text.parse()
            .map(Self::At)
            .map_err(|_| "wanted ADDRESS:PORT, such as 127.0.0.1:8383, or unix:PATH".to_owned())
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_ports_and_paths_are_read() {
        let at = |text: &str| Listen::At(text.parse().unwrap());
        assert_eq!("0.0.0.0:80".parse(), Ok(at("0.0.0.0:80")));
        assert_eq!("81".parse(), Ok(at("127.0.0.1:81")));
        assert_eq!("unix:/run/c".parse(), Ok(Listen::Unix("/run/c".into())));
        for text in ["", "unix:", "localhost", "1.2.3.4", "99999"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
