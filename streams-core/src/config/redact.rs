//! Secrets are never shown: not in logs, not in errors, not by `{:?}`.

/// What is shown of a setting's value.
pub(super) fn shown<'a>(name: &str, value: &'a str) -> &'a str {
    if is_secret(name) { "[hidden]" } else { value }
}

/// Whether a setting of that name holds a secret, whoever's setting it is.
pub(super) fn is_secret(name: &str) -> bool {
    const PARTS: [&str; 9] = [
        "password",
        "passphrase",
        "secret",
        "token",
        "jaas",
        "private.key",
        "key.pem",
        "keystore.key",
        "oauthbearer.config",
    ];
    let name = name.to_ascii_lowercase().replace('_', ".");
    // The address of a token endpoint is no secret, and needed to find a mistake in it.
    PARTS.iter().any(|part| name.contains(part)) && !name.contains("endpoint.url")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_both_worlds_are_hidden() {
        for name in [
            "sasl.password",
            "consumer.ssl.key.password",
            "ssl.key.pem",
            "ssl.keystore.key",
            "sasl.jaas.config",
            "sasl.oauthbearer.config",
            "sasl.oauthbearer.client.credentials.client.secret",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "STREAMS_SASL_PASSWORD",
            "sasl.pasword.password",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["sasl.username", "ssl.ca.pem", "sasl.oauthbearer.token.endpoint.url"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
