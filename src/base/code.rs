//! Error codes as clients see them in `extensions.code`.
//!
//! The words are Hasura v2's where it has one; the others name a limit or a
//! condition that Hasura has no code for.

use std::fmt;

/// A machine-readable error code, printed in kebab-case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    AccessDenied,
    BadRequest,
    NotExists,
    InvalidParams,
    DependencyError,
    Conflict,
    AlreadyUntracked,
    AlreadyTracked,
    AlreadyExists,
    ConcurrentUpdate,
    ConstraintError,
    ConstraintViolation,
    DataConnectorError,
    DataException,
    DepthLimitExceeded,
    InvalidConfiguration,
    InvalidHeaders,
    InvalidJson,
    InvalidJwt,
    JwtInvalidClaims,
    JwtMissingRoleClaims,
    MethodNotAllowed,
    NodeLimitExceeded,
    NotFound,
    NotSupported,
    ParseFailed,
    PayloadTooLarge,
    PermissionDenied,
    PermissionError,
    PostgresError,
    ServiceUnavailable,
    StartFailed,
    TimeLimitExceeded,
    TooManyRequests,
    Unexpected,
    UnexpectedPayload,
    UnsupportedMediaType,
    ValidationFailed,
}

impl Code {
    /// Every code, for documentation and for metrics that start at zero.
    pub const ALL: &'static [Code] = &[
        Code::AccessDenied,
        Code::BadRequest,
        Code::NotExists,
        Code::InvalidParams,
        Code::DependencyError,
        Code::Conflict,
        Code::AlreadyUntracked,
        Code::AlreadyTracked,
        Code::AlreadyExists,
        Code::ConcurrentUpdate,
        Code::ConstraintError,
        Code::ConstraintViolation,
        Code::DataConnectorError,
        Code::DataException,
        Code::DepthLimitExceeded,
        Code::InvalidConfiguration,
        Code::InvalidHeaders,
        Code::InvalidJson,
        Code::InvalidJwt,
        Code::JwtInvalidClaims,
        Code::JwtMissingRoleClaims,
        Code::MethodNotAllowed,
        Code::NodeLimitExceeded,
        Code::NotFound,
        Code::NotSupported,
        Code::ParseFailed,
        Code::PayloadTooLarge,
        Code::PermissionDenied,
        Code::PermissionError,
        Code::PostgresError,
        Code::ServiceUnavailable,
        Code::StartFailed,
        Code::TimeLimitExceeded,
        Code::TooManyRequests,
        Code::Unexpected,
        Code::UnexpectedPayload,
        Code::UnsupportedMediaType,
        Code::ValidationFailed,
    ];

    /// The kebab-case word of the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::AccessDenied => "access-denied",
            Code::BadRequest => "bad-request",
            Code::NotExists => "not-exists",
            Code::InvalidParams => "invalid-params",
            Code::DependencyError => "dependency-error",
            Code::Conflict => "conflict",
            Code::AlreadyUntracked => "already-untracked",
            Code::AlreadyTracked => "already-tracked",
            Code::AlreadyExists => "already-exists",
            Code::ConcurrentUpdate => "concurrent-update",
            Code::ConstraintError => "constraint-error",
            Code::ConstraintViolation => "constraint-violation",
            Code::DataConnectorError => "data-connector-error",
            Code::DataException => "data-exception",
            Code::DepthLimitExceeded => "depth-limit-exceeded",
            Code::InvalidConfiguration => "invalid-configuration",
            Code::InvalidHeaders => "invalid-headers",
            Code::InvalidJson => "invalid-json",
            Code::InvalidJwt => "invalid-jwt",
            Code::JwtInvalidClaims => "jwt-invalid-claims",
            Code::JwtMissingRoleClaims => "jwt-missing-role-claims",
            Code::MethodNotAllowed => "method-not-allowed",
            Code::NodeLimitExceeded => "node-limit-exceeded",
            Code::NotFound => "not-found",
            Code::NotSupported => "not-supported",
            Code::ParseFailed => "parse-failed",
            Code::PayloadTooLarge => "payload-too-large",
            Code::PermissionDenied => "permission-denied",
            Code::PermissionError => "permission-error",
            Code::PostgresError => "postgres-error",
            Code::ServiceUnavailable => "service-unavailable",
            Code::StartFailed => "start-failed",
            Code::TimeLimitExceeded => "time-limit-exceeded",
            Code::TooManyRequests => "too-many-requests",
            Code::Unexpected => "unexpected",
            Code::UnexpectedPayload => "unexpected-payload",
            Code::UnsupportedMediaType => "unsupported-media-type",
            Code::ValidationFailed => "validation-failed",
        }
    }

    /// The HTTP status under `application/graphql-response+json` and at
    /// endpoints that are not GraphQL.
    pub const fn status(self) -> u16 {
        match self {
            Code::AccessDenied
            | Code::InvalidHeaders
            | Code::InvalidJwt
            | Code::JwtInvalidClaims
            | Code::JwtMissingRoleClaims => 401,
            Code::PermissionDenied | Code::PermissionError => 403,
            Code::NotFound => 404,
            Code::MethodNotAllowed => 405,
            Code::ConcurrentUpdate | Code::Conflict => 409,
            Code::PayloadTooLarge => 413,
            Code::UnsupportedMediaType => 415,
            Code::TooManyRequests => 429,
            Code::Unexpected | Code::PostgresError | Code::InvalidConfiguration => 500,
            Code::ServiceUnavailable => 503,
            Code::TimeLimitExceeded => 504,
            _ => 400,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
