//! What can be ordered of a daemon from here, and how that is asked for.

use std::fmt::Write;

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Replace the child in a slot, losing nothing.
    Recycle { pool: String, slot: u32 },
    /// Finish what is at work, and go.
    Drain,
}

impl Order {
    /// The path that it is posted to.
    pub(crate) fn path(&self) -> String {
        match self {
            Self::Recycle { pool, slot } => format!("/admin/recycle/{}/{slot}", one_segment(pool)),
            Self::Drain => "/admin/drain".to_owned(),
        }
    }

    /// What somebody has to say yes to.
    pub(crate) fn question(&self) -> String {
        match self {
            Self::Recycle { pool, slot } => format!("replace {pool}/{slot}, losing nothing?"),
            Self::Drain => "drain the daemon? it finishes what is at work, and ends".to_owned(),
        }
    }

    /// Its name in a message.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Recycle { pool, slot } => format!("recycle {pool}/{slot}"),
            Self::Drain => "drain".to_owned(),
        }
    }
}

/// A name from elsewhere must not become another path.
fn one_segment(name: &str) -> String {
    let mut segment = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            segment.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(segment, "%{byte:02X}");
        }
    }
    segment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_segment() {
        let recycle = |pool: &str| Order::Recycle { pool: pool.to_owned(), slot: 3 }.path();
        assert_eq!(recycle("wasm"), "/admin/recycle/wasm/3");
        assert_eq!(recycle("../drain?x"), "/admin/recycle/%2E%2E%2Fdrain%3Fx/3");
        assert_eq!(Order::Drain.path(), "/admin/drain");
    }
}
