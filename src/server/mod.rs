//! HTTP over TLS: certificates, drain, readiness, the admin port.
