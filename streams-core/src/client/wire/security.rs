//! Who we are and whom we trust: `security.protocol`, `sasl.*` and `ssl.*` by librdkafka's names,
//! so that one configuration means the same to both kinds of connections.

use std::net::IpAddr;
use std::path::Path;

use openssl::error::ErrorStack;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;

use super::super::error::{ClientError, ClientErrorKind};
use super::scram::ScramHash;
use super::settings::{invalid, value};

/// What is done on a fresh connection before the first request.
#[derive(Clone, Default)]
pub(super) struct Security {
    pub(super) tls: Option<Tls>,
    pub(super) sasl: Option<Sasl>,
}

/// How TLS is spoken.
#[derive(Clone)]
pub(super) struct Tls {
    context: SslContext,
    verify_host: bool,
}

/// How we authenticate.
#[derive(Clone)]
pub(super) struct Sasl {
    pub(super) mechanism: Mechanism,
    pub(super) username: String,
    pub(super) password: String,
}

/// The SASL mechanisms that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    Scram(ScramHash),
}

impl Mechanism {
    /// As it is named on the wire.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(ScramHash::Sha256) => "SCRAM-SHA-256",
            Self::Scram(ScramHash::Sha512) => "SCRAM-SHA-512",
        }
    }
}

/// The settings of these families that have a meaning here.
const KNOWN: [&str; 22] = [
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.key.location",
    "ssl.key.pem",
    "ssl.key.password",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.cipher.suites",
    "ssl.curves.list",
    "ssl.sigalgs.list",
    "ssl.endpoint.identification.algorithm",
    "enable.ssl.certificate.verification",
    // Of the mechanisms that are refused below, with a better message than "unknown".
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.method",
    "sasl.kerberos.service.name",
];

/// Whether a setting is of the families that are read here.
pub(super) fn is_of_security(name: &str) -> bool {
    ["security.", "sasl.", "ssl.", "enable.ssl."].iter().any(|family| name.starts_with(family))
}

impl Security {
    pub(super) fn parse(settings: &[(String, String)]) -> Result<Self, ClientError> {
        for (name, _) in settings {
            if is_of_security(name) && !KNOWN.contains(&&**name) {
                return Err(invalid(format!(
                    "{name} is not supported: the connections for groups, topics and offsets do \
                     not know it, so it would hold for records only; supported are {}",
                    KNOWN[..19].join(", ")
                )));
            }
        }
        let protocol = value(settings, "security.protocol").unwrap_or("plaintext");
        let (tls, sasl) = match protocol.to_ascii_lowercase().as_str() {
            "plaintext" => (false, false),
            "ssl" => (true, false),
            "sasl_plaintext" => (false, true),
            "sasl_ssl" => (true, true),
            _ => {
                return Err(invalid(format!(
                    "security.protocol: '{protocol}' is none of plaintext, ssl, sasl_plaintext, \
                     sasl_ssl"
                )));
            }
        };
        warn_of_unused(settings, tls, sasl);
        Ok(Self {
            tls: if tls { Some(Tls::parse(settings)?) } else { None },
            sasl: if sasl { Some(Sasl::parse(settings)?) } else { None },
        })
    }
}

fn warn_of_unused(settings: &[(String, String)], tls: bool, sasl: bool) {
    for (name, _) in settings {
        if (!tls && name.starts_with("ssl.")) || (!sasl && name.starts_with("sasl.")) {
            tracing::warn!("{name} is set, but security.protocol makes no use of it");
        }
    }
}

impl Sasl {
    fn parse(settings: &[(String, String)]) -> Result<Self, ClientError> {
        let mechanism = value(settings, "sasl.mechanism").or(value(settings, "sasl.mechanisms"));
        let mechanism = match mechanism {
            None => {
                return Err(invalid("sasl.mechanism is not set; set SCRAM-SHA-512, for example"));
            }
            Some("PLAIN") => Mechanism::Plain,
            Some("SCRAM-SHA-256") => Mechanism::Scram(ScramHash::Sha256),
            Some("SCRAM-SHA-512") => Mechanism::Scram(ScramHash::Sha512),
            Some(other @ ("GSSAPI" | "OAUTHBEARER")) => {
                return Err(ClientError::new(
                    ClientErrorKind::Unsupported,
                    format!(
                        "sasl.mechanism: {other} is not supported yet; use PLAIN, SCRAM-SHA-256, \
                         SCRAM-SHA-512, or client certificates"
                    ),
                ));
            }
            Some(other) => {
                return Err(invalid(format!(
                    "sasl.mechanism: '{other}' is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"
                )));
            }
        };
        let required = |name: &str| {
            let text = value(settings, name).filter(|text| !text.is_empty());
            text.map(str::to_owned)
                .ok_or_else(|| invalid(format!("{name} is not set; {} needs it", mechanism.name())))
        };
        let (username, password) = (required("sasl.username")?, required("sasl.password")?);
        Ok(Self { mechanism, username, password })
    }
}

impl Tls {
    fn parse(settings: &[(String, String)]) -> Result<Self, ClientError> {
        let mut builder = builder()?;
        trust(&mut builder, settings)?;
        identify(&mut builder, settings)?;
        type Set = fn(&mut SslContextBuilder, &str) -> Result<(), ErrorStack>;
        let lists: [(&str, Set); 3] = [
            ("ssl.cipher.suites", SslContextBuilder::set_cipher_list),
            ("ssl.curves.list", SslContextBuilder::set_groups_list),
            ("ssl.sigalgs.list", SslContextBuilder::set_sigalgs_list),
        ];
        for (name, set) in lists {
            if let Some(text) = value(settings, name) {
                set(&mut builder, text).map_err(|e| invalid(format!("{name}: '{text}': {e}")))?;
            }
        }
        let verify = flag(settings, "enable.ssl.certificate.verification", true)?;
        builder.set_verify(if verify { SslVerifyMode::PEER } else { SslVerifyMode::NONE });
        let algorithm = value(settings, "ssl.endpoint.identification.algorithm");
        let verify_host = match algorithm.unwrap_or("https").to_ascii_lowercase().as_str() {
            "https" => verify,
            "none" | "" => false,
            other => {
                return Err(invalid(format!(
                    "ssl.endpoint.identification.algorithm: '{other}' is neither https nor none"
                )));
            }
        };
        Ok(Self { context: builder.build(), verify_host })
    }

    /// The state of one connection to `host`.
    pub(super) fn session(&self, host: &str) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        let address: Option<IpAddr> = host.parse().ok();
        if address.is_none() {
            ssl.set_hostname(host)?;
        }
        if self.verify_host {
            match address {
                Some(address) => ssl.param_mut().set_ip(address)?,
                None => ssl.param_mut().set_host(host)?,
            }
        }
        Ok(ssl)
    }
}

fn builder() -> Result<SslContextBuilder, ClientError> {
    let broken = |e: ErrorStack| invalid(format!("TLS is not available: {e}"));
    let mut builder = SslContext::builder(SslMethod::tls_client()).map_err(broken)?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(broken)?;
    builder.set_mode(SslMode::AUTO_RETRY | SslMode::RELEASE_BUFFERS);
    Ok(builder)
}

/// Whom we trust: the given certificates alone, or the system's.
fn trust(
    builder: &mut SslContextBuilder,
    settings: &[(String, String)],
) -> Result<(), ClientError> {
    if let Some(pem) = value(settings, "ssl.ca.pem") {
        let wrong = |e| invalid(format!("ssl.ca.pem holds no PEM certificates: {e}"));
        let mut store = X509StoreBuilder::new().map_err(wrong)?;
        for certificate in X509::stack_from_pem(pem.as_bytes()).map_err(wrong)? {
            store.add_cert(certificate).map_err(wrong)?;
        }
        builder.set_cert_store(store.build());
        return Ok(());
    }
    match value(settings, "ssl.ca.location").filter(|path| *path != "probe") {
        None => builder.set_default_verify_paths().map_err(|e| {
            invalid(format!("the system's certificates cannot be read: {e}; set ssl.ca.location"))
        }),
        Some(path) => {
            let (file, folder) = match Path::new(path).is_dir() {
                true => (None, Some(Path::new(path))),
                false => (Some(Path::new(path)), None),
            };
            builder.load_verify_locations(file, folder).map_err(|e| {
                invalid(format!(
                    "ssl.ca.location: no PEM certificates can be read from {path}: {e}"
                ))
            })
        }
    }
}

/// Who we are: a certificate and its key, from files, from text, or from a PKCS #12 store.
fn identify(
    builder: &mut SslContextBuilder,
    settings: &[(String, String)],
) -> Result<(), ClientError> {
    if let Some(path) = value(settings, "ssl.keystore.location") {
        return identify_by_store(builder, path, value(settings, "ssl.keystore.password"));
    }
    let certificate = text(settings, "ssl.certificate.pem", "ssl.certificate.location")?;
    let key = text(settings, "ssl.key.pem", "ssl.key.location")?;
    match (certificate, key) {
        (None, None) => Ok(()),
        (Some(certificate), Some(key)) => {
            let wrong =
                |e| invalid(format!("the client certificate holds no PEM certificates: {e}"));
            let chain = X509::stack_from_pem(&certificate).map_err(wrong)?;
            let key = private_key(&key, value(settings, "ssl.key.password"))?;
            present(builder, &chain, &key)
        }
        (Some(_), None) => Err(invalid("a client certificate is set without ssl.key.location")),
        (None, Some(_)) => Err(invalid("a client key is set without ssl.certificate.location")),
    }
}

fn identify_by_store(
    builder: &mut SslContextBuilder,
    path: &str,
    password: Option<&str>,
) -> Result<(), ClientError> {
    let wrong = |why: String| {
        invalid(format!("ssl.keystore.location: {path}: {why}; is ssl.keystore.password right?"))
    };
    let bytes = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let store = Pkcs12::from_der(&bytes)
        .and_then(|store| store.parse2(password.unwrap_or("")))
        .map_err(|e| wrong(format!("no PKCS #12 store that can be opened: {e}")))?;
    let (Some(certificate), Some(key)) = (store.cert, store.pkey) else {
        return Err(wrong("holds no certificate with a key".to_owned()));
    };
    let mut chain = vec![certificate];
    chain.extend(store.ca.into_iter().flatten());
    present(builder, &chain, &key)
}

fn present(
    builder: &mut SslContextBuilder,
    chain: &[X509],
    key: &PKey<Private>,
) -> Result<(), ClientError> {
    let wrong = |e| invalid(format!("client certificate and key cannot be used together: {e}"));
    let Some((certificate, issuers)) = chain.split_first() else {
        return Err(invalid("the client certificate holds no PEM certificates"));
    };
    builder.set_certificate(certificate).map_err(wrong)?;
    for issuer in issuers {
        builder.add_extra_chain_cert(issuer.clone()).map_err(wrong)?;
    }
    builder.set_private_key(key).map_err(wrong)?;
    builder.check_private_key().map_err(wrong)
}

fn private_key(pem: &[u8], password: Option<&str>) -> Result<PKey<Private>, ClientError> {
    // The callback is asked for encrypted keys only; without it openssl would ask the terminal.
    let mut asked = false;
    let key = PKey::private_key_from_pem_callback(pem, |into| {
        asked = true;
        let password = password.unwrap_or("").as_bytes();
        let into = into.get_mut(..password.len()).ok_or_else(ErrorStack::get)?;
        into.copy_from_slice(password);
        Ok(password.len())
    });
    key.map_err(|e| {
        invalid(match (asked, password) {
            (true, None) => "the client key is encrypted: set ssl.key.password".to_owned(),
            (true, Some(_)) => format!("ssl.key.password does not open the client key: {e}"),
            (false, _) => format!("the client key is no PEM private key: {e}"),
        })
    })
}

/// The bytes behind one of two settings: given as they are, or as a file.
fn text(
    settings: &[(String, String)],
    given: &str,
    file: &str,
) -> Result<Option<Vec<u8>>, ClientError> {
    if let Some(text) = value(settings, given) {
        return Ok(Some(text.as_bytes().to_vec()));
    }
    match value(settings, file) {
        None => Ok(None),
        Some(path) => match std::fs::read(path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) => Err(invalid(format!("{file}: {path} cannot be read: {e}"))),
        },
    }
}

fn flag(settings: &[(String, String)], name: &str, default: bool) -> Result<bool, ClientError> {
    match value(settings, name).map(str::to_ascii_lowercase).as_deref() {
        None => Ok(default),
        Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => Err(invalid(format!("{name}: '{other}' is neither true nor false"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(settings: &[(&str, &str)]) -> Result<Security, ClientError> {
        let settings: Vec<_> =
            settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Security::parse(&settings)
    }

    fn refused(settings: &[(&str, &str)]) -> ClientError {
        parse(settings).err().unwrap()
    }

    #[test]
    fn plaintext_is_the_default() {
        let security = parse(&[]).unwrap();
        assert!(security.tls.is_none() && security.sasl.is_none());
    }

    #[test]
    fn reads_sasl_under_both_names_of_the_mechanism() {
        for name in ["sasl.mechanism", "sasl.mechanisms"] {
            let security = parse(&[
                ("security.protocol", "SASL_SSL"),
                (name, "SCRAM-SHA-512"),
                ("sasl.username", "u"),
                ("sasl.password", "p"),
            ]);
            let security = security.unwrap();
            assert!(security.tls.is_some());
            assert_eq!(security.sasl.unwrap().mechanism, Mechanism::Scram(ScramHash::Sha512));
        }
    }

    #[test]
    fn an_unknown_setting_of_these_families_is_an_error_that_names_it() {
        for name in ["ssl.crl.location", "sasl.kerberos.keytab", "security.x", "enable.ssl.x"] {
            let error = refused(&[(name, "x")]);
            assert!(error.message.starts_with(name), "{}", error.message);
        }
    }

    #[test]
    fn mechanisms_that_we_do_not_speak_are_refused_by_name() {
        for mechanism in ["GSSAPI", "OAUTHBEARER"] {
            let error =
                refused(&[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", mechanism)]);
            assert_eq!(error.kind, ClientErrorKind::Unsupported);
            assert!(error.message.contains(mechanism));
        }
    }

    #[test]
    fn says_what_is_missing() {
        let sasl = ("security.protocol", "sasl_plaintext");
        assert!(refused(&[sasl]).message.contains("sasl.mechanism"));
        let plain = ("sasl.mechanism", "PLAIN");
        assert!(refused(&[sasl, plain]).message.contains("sasl.username"));
        let user = ("sasl.username", "u");
        assert!(refused(&[sasl, plain, user]).message.contains("sasl.password"));
        let ssl = ("security.protocol", "ssl");
        let missing = ("ssl.ca.location", "/does/not/exist.pem");
        assert!(refused(&[ssl, missing]).message.contains("/does/not/exist.pem"));
        let key = ("ssl.key.pem", "x");
        assert!(refused(&[ssl, key]).message.contains("ssl.certificate.location"));
        assert!(refused(&[("security.protocol", "tls")]).message.contains("'tls'"));
    }

    #[test]
    fn an_encrypted_key_asks_for_its_password() {
        let key = PKey::ec_gen("prime256v1").unwrap();
        let cipher = openssl::symm::Cipher::aes_128_cbc();
        let pem = key.private_key_to_pem_pkcs8_passphrase(cipher, b"secret").unwrap();
        assert!(private_key(&pem, Some("secret")).is_ok());
        assert!(private_key(&pem, None).unwrap_err().message.contains("set ssl.key.password"));
        assert!(private_key(&pem, Some("no")).unwrap_err().message.contains("does not open"));
        assert!(private_key(b"x", None).unwrap_err().message.contains("no PEM private key"));
    }
}
