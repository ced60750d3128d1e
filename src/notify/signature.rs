//! The signature of a message: who has the secret can tell that it comes from Bailiwick, is whole, and is not an old one sent again.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// The header that carries it.
pub const HEADER: &str = "X-Bailiwick-Signature";

/// The shortest secret that is taken, in bytes.
pub const SHORTEST_SECRET: usize = 16;

/// The header's value: `t=f380fa061ddac7555fce09c4f9d5ba3c4d7eb9115eaa097dd2c14988a18ae793S,v1=HEX`, where HEX is the HMAC-SHA256 of `SECONDS.BODY` under the secret.
pub fn signature(secret: &[u8], seconds: i64, body: &[u8]) -> String {
    let mut mac = keyed(secret);
    mac.update(seconds.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let mac = hex::encode(mac.finalize().into_bytes());
    format!("t={seconds},v1={mac}")
}

/// RFC 2104: a key that is longer than a block is hashed first, a shorter one is filled up with zeros.
fn keyed(secret: &[u8]) -> Hmac<Sha256> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    let key = if secret.len() > block.len() {
        Zeroizing::new(Sha256::digest(secret).to_vec())
    } else {
        Zeroizing::new(secret.to_vec())
    };
    for (place, byte) in block.iter_mut().zip(key.iter()) {
        *place = *byte;
    }
    let mac = <Hmac<Sha256> as KeyInit>::new(&block);
    block.as_mut_slice().zeroize();
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `openssl dgst -sha256 -hmac`; the second under a secret longer than a block.
    #[test]
    fn signatures_are_those_of_openssl() {
        assert_eq!(
            signature(b"0123456789abcdef", 1_700_000_000, b"{\"a\":1}"),
            "t=1700000000,v1=9eb18f493f8ec135d9eb2dad817c369bb4e9cbfa818657897a7437c1cd8c3a23"
        );
        assert_eq!(
            signature(&[b'k'; 100], 1, b""),
            "t=1,v1=f380fa061ddac7555fce09c4f9d5ba3c4d7eb9115eaa097dd2c14988a18ae793"
        );
    }
}
