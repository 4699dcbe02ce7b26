//! The secret that webhooks are signed with, and the signature (Standard Webhooks).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A secret, written as `whsec_` and Base64. It is never shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebhookSecret(Vec<u8>);

/// What all secrets begin with, so that they are found where they should not be.
const PREFIX: &str = "whsec_";
/// Bytes of a key; shorter ones can be guessed, longer ones are hashed anyway.
const LENGTH: std::ops::RangeInclusive<usize> = 16..=64;

impl WebhookSecret {
    /// The value of the header `webhook-signature`.
    pub(crate) fn sign(&self, id: &str, seconds: u64, body: &[u8]) -> String {
        let signature = hmac(&self.0, &[format!("{id}.{seconds}.").as_bytes(), body]);
        format!("v1,{}", BASE64.encode(signature))
    }
}

/// HMAC-SHA256 (RFC 2104), for keys of a block at most. Ten lines: the crate for it would have `sha2` built once more, and all
/// that stands on it. What is signed here is compared by others, so that there is nothing to time.
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = parts.iter().fold(Sha256::new_with_prefix(pad(0x36)), |hash, part| hash.chain_update(part)).finalize();
    Sha256::new_with_prefix(pad(0x5c)).chain_update(inner).finalize().into()
}

impl TryFrom<String> for WebhookSecret {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let encoded = text.strip_prefix(PREFIX).ok_or_else(|| format!("a secret begins with {PREFIX}"))?;
        let key = BASE64.decode(encoded).map_err(|_| format!("after {PREFIX} a secret is Base64"))?;
        if LENGTH.contains(&key.len()) { Ok(Self(key)) } else { Err("a secret has 16 to 64 bytes".to_owned()) }
    }
}

impl std::str::FromStr for WebhookSecret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::try_from(text.to_owned())
    }
}

impl From<WebhookSecret> for String {
    fn from(secret: WebhookSecret) -> Self {
        format!("{PREFIX}{}", BASE64.encode(secret.0))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries, checked with Python's `hmac`.
    #[test]
    fn a_known_message_has_its_known_signature() {
        let secret: WebhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().expect("it is one");
        let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(format!("{secret:?}"), "WebhookSecret(..)");
    }

    /// RFC 4231, test cases 1 and 2, and 3 with its data.
    #[test]
    fn codes_are_those_of_the_standard() {
        let hex = |code: [u8; 32]| code.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let cases: [(&[u8], &[u8], &str); 3] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        ];
        for (key, data, expected) in cases {
            assert_eq!(hex(hmac(key, &[data])), expected);
        }
    }

    #[test]
    fn secrets_that_are_none_are_refused() {
        for text in ["", "whsec_", "whsec_%", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_YWJj"] {
            assert!(text.parse::<WebhookSecret>().is_err(), "{text}");
        }
    }
}
