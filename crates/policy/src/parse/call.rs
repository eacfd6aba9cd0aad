//! Reads what a context entry, or an entry of the global context, calls.

use super::template::{Names, template, text};
use crate::context::{Call, Target, is_review};
use crate::fault::Fault;
use crate::source::Cursor;
use crate::template::{Template, TextTemplate};

/// A call has at most this many headers and fields of data.
const MAX_ITEMS: usize = 64;
/// Headers that say how a request is sent, and are not the policy's to say.
const HEADERS_OF_TRANSPORT: [&str; 9] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Reads `urlPath`, `service`, `method` and `data` of an `apiCall`.
pub(super) fn call(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<Call, Fault> {
    let (path, service) = (cursor.get("urlPath"), cursor.get("service"));
    let data = data(cursor, names)?;
    let target = match (path, service) {
        (Some(path), None) => {
            if data.is_some() && !is_review(path.text()?) {
                let message = "POST is not supported here: policies only read, and only reviews of \
                    authorization.k8s.io/v1 are read by POST";
                return Err(path.fault(message).unsupported());
            }
            Target::Api(text(&path, names)?)
        }
        (None, Some(service)) => self::service(&service, names)?,
        (Some(_), Some(service)) => return Err(service.key_fault("urlPath and service exclude each other")),
        (None, None) => return Err(cursor.key_fault("apiCall needs urlPath or service")),
    };
    Ok(Call { target, data })
}

/// What is posted; `None` for a GET.
fn data(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<Option<Vec<(String, Template)>>, Fault> {
    let posts = match cursor.get("method") {
        None => false,
        Some(method) => match method.text()? {
            "GET" => false,
            "POST" => true,
            _ => return Err(method.fault("method is GET or POST")),
        },
    };
    let Some(list) = cursor.get("data") else {
        return Ok(posts.then(Vec::new));
    };
    if !posts {
        return Err(list.key_fault("data needs method: POST"));
    }
    let field = |item: &Cursor<'_>| {
        item.only(&["key", "value"])?;
        let key = item.require("key")?.text()?.to_owned();
        Ok((key, template(&item.require("value")?, names)?))
    };
    bounded(&list)?
        .iter()
        .map(field)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn bounded<'d>(list: &Cursor<'d>) -> Result<Vec<Cursor<'d>>, Fault> {
    let items = list.list()?;
    if items.len() > MAX_ITEMS {
        let message = format!("{} has more than {MAX_ITEMS} entries", list.name());
        return Err(list.key_fault(message).unsupported());
    }
    Ok(items)
}

fn service(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<Target, Fault> {
    cursor.only(&["url", "caBundle", "headers"])?;
    let url = cursor.require("url")?;
    check_host(&url)?;
    let authority = cursor.get("caBundle").map_or(Ok(""), |bundle| bundle.text())?;
    let headers = match cursor.get("headers") {
        Some(list) => bounded(&list)?
            .iter()
            .map(|item| header(item, names))
            .collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    Ok(Target::Service {
        url: text(&url, names)?,
        headers,
        authority: authority.to_owned(),
    })
}

/// Where a call goes is for the policy's author to say, never for the object that is judged.
fn check_host(url: &Cursor<'_>) -> Result<(), Fault> {
    let written = url.text()?;
    let rest = written
        .strip_prefix("https://")
        .or_else(|| written.strip_prefix("http://"));
    let Some(rest) = rest else {
        return Err(if written.starts_with("{{") {
            url.fault("a variable as url is not supported: write https:// and the host out")
                .unsupported()
        } else {
            url.fault("url begins with https:// and a host")
        });
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains("{{") {
        let message = "a variable in the host of a url is not supported: write the host out";
        return Err(url.fault(message).unsupported());
    }
    if host.is_empty() || host.contains('@') {
        return Err(url.fault("url needs a host, and no user before it"));
    }
    Ok(())
}

fn header(cursor: &Cursor<'_>, names: &Names<'_>) -> Result<(String, TextTemplate), Fault> {
    cursor.only(&["key", "value"])?;
    let key = cursor.require("key")?;
    let name = key.text()?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(key.fault(format!("{name:?} is no name of a header")));
    }
    let lower = name.to_ascii_lowercase();
    if HEADERS_OF_TRANSPORT.contains(&lower.as_str()) {
        return Err(key
            .fault(format!(
                "the header {name} is not supported: it is set for each request"
            ))
            .unsupported());
    }
    Ok((lower, text(&cursor.require("value")?, names)?))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::Value;

    use super::*;
    use crate::fault::Reason;
    use crate::source::Source;

    fn written(text: &str) -> Value {
        provost_manifest::yaml::parse_one(text).unwrap().value
    }

    fn read(value: &Value) -> Result<Call, Fault> {
        let names = Names {
            entries: Vec::new(),
            element: false,
            background: false,
        };
        call(&Cursor::new(value, &Source::Object), &names)
    }

    #[rstest]
    #[case("{urlPath: /version}")]
    #[case("{urlPath: /version, method: GET}")]
    #[case(
        "{urlPath: /apis/authorization.k8s.io/v1/subjectaccessreviews, method: POST, data: [{key: a, value: 1}]}"
    )]
    #[case("{service: {url: 'https://scanner.example.com:8443/x', caBundle: PEM}}")]
    #[case(
        "{service: {url: 'http://scanner.tools/{{ request.namespace }}', headers: [{key: X-A, value: b}]}, method: POST}"
    )]
    fn calls_are_read(#[case] text: &str) {
        let read = read(&written(text));
        assert!(read.is_ok(), "{read:?}");
    }

    #[rstest]
    #[case::nobody("{method: GET}", Reason::Mistake, "needs urlPath or service")]
    #[case::two(
        "{urlPath: /version, service: {url: 'https://a.b'}}",
        Reason::Mistake,
        "exclude each other"
    )]
    #[case::a_method(
        "{urlPath: /version, method: PATCH}",
        Reason::Mistake,
        "method is GET or POST"
    )]
    #[case::data_of_a_get("{urlPath: /version, data: []}", Reason::Mistake, "data needs method: POST")]
    #[case::a_write(
        "{urlPath: /api/v1/namespaces/a/pods, method: POST}",
        Reason::Unsupported,
        "policies only read"
    )]
    #[case::no_scheme(
        "{service: {url: scanner.example.com}}",
        Reason::Mistake,
        "begins with https://"
    )]
    #[case::a_file(
        "{service: {url: 'file:///etc/passwd'}}",
        Reason::Mistake,
        "begins with https://"
    )]
    #[case::a_user(
        "{service: {url: 'https://a@b.example.com/'}}",
        Reason::Mistake,
        "no user before it"
    )]
    #[case::no_host("{service: {url: 'https:///x'}}", Reason::Mistake, "needs a host")]
    #[case::a_host_of_the_object(
        "{service: {url: 'https://{{ request.namespace }}.example.com/'}}",
        Reason::Unsupported,
        "write the host out"
    )]
    #[case::a_url_of_the_object(
        "{service: {url: '{{ request.name }}'}}",
        Reason::Unsupported,
        "a variable as url"
    )]
    #[case::the_host_header(
        "{service: {url: 'https://a.b', headers: [{key: Host, value: c}]}}",
        Reason::Unsupported,
        "set for each request"
    )]
    #[case::no_header(
        "{service: {url: 'https://a.b', headers: [{key: 'a b', value: c}]}}",
        Reason::Mistake,
        "no name of a header"
    )]
    fn what_may_not_be_called_is_refused(#[case] text: &str, #[case] reason: Reason, #[case] why: &str) {
        let fault = read(&written(text)).unwrap_err();
        assert_eq!(fault.reason, reason, "{fault}");
        assert!(fault.message.contains(why), "{fault}");
    }
}
