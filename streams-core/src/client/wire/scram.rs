//! SCRAM (RFC 5802, RFC 7677) from the primitives of OpenSSL.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::memcmp;
use openssl::pkcs5::pbkdf2_hmac;
use openssl::pkey::PKey;
use openssl::sign::Signer;

/// The hash of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScramHash {
    Sha256,
    Sha512,
}

/// A conversation, of two messages each way.
pub(super) struct Scram {
    hash: ScramHash,
    password: String,
    nonce: String,
    first_bare: String,
    expected_signature: Vec<u8>,
}

/// Why the server was not believed.
pub(super) type Reason = String;

/// Fewer rounds would make the password cheap to guess; RFC 7677 asks for these.
const ITERATIONS_MIN: usize = 4096;
/// More would be a server that wants to keep us busy.
const ITERATIONS_MAX: usize = 1_000_000;

impl Scram {
    /// A conversation with a fresh nonce.
    pub(super) fn new(hash: ScramHash, username: &str, password: &str) -> Result<Self, Reason> {
        let mut random = [0; 24];
        openssl::rand::rand_bytes(&mut random).map_err(|e| format!("no random numbers: {e}"))?;
        Ok(Self::with_nonce(hash, username, password, &BASE64.encode(random)))
    }

    fn with_nonce(hash: ScramHash, username: &str, password: &str, nonce: &str) -> Self {
        let username = username.replace('=', "=3D").replace(',', "=2C");
        Self {
            hash,
            password: password.to_owned(),
            nonce: nonce.to_owned(),
            first_bare: format!("n={username},r={nonce}"),
            expected_signature: Vec::new(),
        }
    }

    /// The first message to the server.
    pub(super) fn first(&self) -> Vec<u8> {
        format!("n,,{}", self.first_bare).into_bytes()
    }

    /// The second message, to the server's first.
    pub(super) fn second(&mut self, server_first: &[u8]) -> Result<Vec<u8>, Reason> {
        let text = std::str::from_utf8(server_first).map_err(|_| "no UTF-8".to_owned())?;
        let nonce = field(text, "r=")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the server did not extend our nonce".to_owned());
        }
        let salt = BASE64.decode(field(text, "s=")?).map_err(|e| format!("salt: {e}"))?;
        let iterations: usize = field(text, "i=")?.parse().unwrap_or(0);
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(format!(
                "the server asks for {iterations} iterations; {ITERATIONS_MIN} to {ITERATIONS_MAX} \
                 are accepted"
            ));
        }
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{text},{without_proof}", self.first_bare);
        let proof = self.proof(&salt, iterations, message.as_bytes()).map_err(|e| e.to_string())?;
        Ok(format!("{without_proof},p={}", BASE64.encode(proof)).into_bytes())
    }

    /// Whether the server knows the password too, by its second message.
    pub(super) fn verify(&self, server_final: &[u8]) -> Result<(), Reason> {
        let text = std::str::from_utf8(server_final).map_err(|_| "no UTF-8".to_owned())?;
        if let Ok(error) = field(text, "e=") {
            return Err(format!("the server refused: {error}"));
        }
        let signature = BASE64.decode(field(text, "v=")?).map_err(|e| format!("signature: {e}"))?;
        let expected = &self.expected_signature;
        if expected.is_empty()
            || signature.len() != expected.len()
            || !memcmp::eq(&signature, expected)
        {
            return Err("the server does not know the password".to_owned());
        }
        Ok(())
    }

    fn proof(
        &mut self,
        salt: &[u8],
        iterations: usize,
        message: &[u8],
    ) -> Result<Vec<u8>, ErrorStack> {
        let digest = self.hash.digest();
        let mut salted = vec![0; digest.size()];
        pbkdf2_hmac(self.password.as_bytes(), salt, iterations, digest, &mut salted)?;
        let client_key = hmac(digest, &salted, b"Client Key")?;
        let stored_key = hash(digest, &client_key)?;
        let signature = hmac(digest, &stored_key, message)?;
        self.expected_signature = hmac(digest, &hmac(digest, &salted, b"Server Key")?, message)?;
        Ok(client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect())
    }
}

impl ScramHash {
    fn digest(self) -> MessageDigest {
        match self {
            Self::Sha256 => MessageDigest::sha256(),
            Self::Sha512 => MessageDigest::sha512(),
        }
    }
}

fn hmac(digest: MessageDigest, key: &[u8], data: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    Signer::new(digest, &*PKey::hmac(key)?)?.sign_oneshot_to_vec(data)
}

fn field<'a>(text: &'a str, name: &str) -> Result<&'a str, Reason> {
    text.split(',')
        .find_map(|part| part.strip_prefix(name))
        .ok_or_else(|| format!("the server's message has no {name}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SERVER_FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                                s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn example() -> Scram {
        Scram::with_nonce(ScramHash::Sha256, "user", "pencil", "rOprNGfwEbeRWgbNEkqO")
    }

    /// RFC 7677, section 3.
    #[test]
    fn speaks_as_the_example_of_the_rfc() {
        let mut scram = example();
        assert_eq!(scram.first(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let second = scram.second(SERVER_FIRST.as_bytes()).unwrap();
        assert_eq!(
            std::str::from_utf8(&second).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        scram.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
    }

    #[test]
    fn believes_no_server_without_the_password() {
        let mut scram = example();
        assert!(scram.verify(b"v=").is_err(), "before the proof there is nothing to believe");
        scram.second(SERVER_FIRST.as_bytes()).unwrap();
        for bad in ["v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", "v=", "", "e=other-error"] {
            assert!(scram.verify(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn refuses_a_foreign_nonce_few_rounds_and_malformed_messages() {
        for bad in [
            "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1",
            "r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=999999999",
            "r=rOprNGfwEbeRWgbNEkqOx,s=%,i=4096",
            "",
        ] {
            assert!(example().second(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_with_commas_is_escaped_and_sha_512_has_its_size() {
        let mut scram = Scram::with_nonce(ScramHash::Sha512, "a,b=c", "p", "x");
        assert_eq!(scram.first(), b"n,,n=a=2Cb=3Dc,r=x");
        let second = scram.second(b"r=xy,s=AAAA,i=4096").unwrap();
        let proof = std::str::from_utf8(&second).unwrap().split("p=").nth(1).unwrap();
        assert_eq!(BASE64.decode(proof).unwrap().len(), 64);
    }
}
