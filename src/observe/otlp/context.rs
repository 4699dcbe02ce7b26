//! Whose trace a request belongs to: what its `traceparent` says (W3C Trace Context), or one of its own. Pure, but for chance.

/// The span of a caller that a request is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) trace: u128,
    pub(super) span: u64,
    /// Whether the caller records this trace. Where it does not, a part of it would be of no use to anybody.
    pub(super) sampled: bool,
}

impl Caller {
    /// Reads a `traceparent`. What is none is not taken for one: the request begins a trace then.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = hex(version, 2)?;
        // Later versions may say more, but begin like this one; ff is none.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let (trace, span, flags) = (hex(trace, 32)?, u64::try_from(hex(span, 16)?).ok()?, hex(flags, 2)?);
        (trace != 0 && span != 0).then_some(Self { trace, span, sampled: flags & 1 == 1 })
    }
}

/// A number of so many digits, which are written in one way only.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let fine = text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if fine { u128::from_str_radix(text, 16).ok() } else { None }
}

/// A trace that nobody has begun yet.
pub(super) fn new_trace() -> u128 {
    fastrand::u128(1..)
}

/// A span that is no other.
pub(super) fn new_span() -> u64 {
    fastrand::u64(1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_read_as_the_standard_has_them() {
        let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
        let known = |sampled| Some(Caller { trace, span: 0xb7ad_6b71_6920_3331, sampled });
        for (text, expected) in [
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", known(true)),
            (" 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ", known(true)),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", known(false)),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03", known(true)),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes", known(true)),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", None),
            ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", None),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", None),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", None),
            ("00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01", None),
            ("00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", None),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1", None),
            ("", None),
        ] {
            assert_eq!(Caller::parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_made_up_is_not_nothing() {
        assert!(new_trace() != 0 && new_span() != 0);
        assert_ne!(new_trace(), new_trace());
    }
}
