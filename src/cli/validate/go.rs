//! What Go takes, where Rust's libraries take something else: the API server judges by Go's regular expressions, URLs
//! and dates, and one that judged otherwise would pass what is refused, or refuse what is stored.

use std::net::Ipv6Addr;
use std::str::FromStr;

use regex::Regex;

/// Compiles an expression so that it matches what Go's `regexp` matches: its `\s`, `\d` and `\w` know ASCII only,
/// and what Rust takes for operators between brackets is text there.
///
/// # Errors
/// For an expression that Rust does not know.
pub fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&in_rust(pattern))
}

fn in_rust(pattern: &str) -> String {
    let mut told = String::with_capacity(pattern.len());
    let mut letters = pattern.chars().peekable();
    // Within brackets, and whether anything stood there yet: a `]` in first place is text.
    let (mut bracket, mut first) = (false, false);
    while let Some(c) = letters.next() {
        let was_first = std::mem::replace(&mut first, false);
        match c {
            '\\' => match letters.next() {
                Some('s') => told.push_str(r"[\t\n\f\r ]"),
                Some('S') => told.push_str(r"[^\t\n\f\r ]"),
                Some('d') => told.push_str("[0-9]"),
                Some('D') => told.push_str("[^0-9]"),
                Some('w') => told.push_str("[0-9A-Za-z_]"),
                Some('W') => told.push_str("[^0-9A-Za-z_]"),
                Some('b') => told.push_str(r"(?-u:\b)"),
                Some('B') => told.push_str(r"(?-u:\B)"),
                Some(other) => told.extend(['\\', other]),
                None => told.push('\\'),
            },
            '[' if !bracket => {
                (bracket, first) = (true, true);
                told.push('[');
                if letters.next_if_eq(&'^').is_some() {
                    told.push('^');
                }
            }
            // `[:alpha:]` means the same to both.
            '[' if letters.peek() == Some(&':') => {
                told.push('[');
                for c in letters.by_ref() {
                    told.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            ']' if bracket && was_first => told.push_str(r"\]"),
            ']' if bracket => {
                bracket = false;
                told.push(']');
            }
            '[' | '&' | '~' if bracket => told.extend(['\\', c]),
            '-' if bracket && letters.peek() == Some(&'-') => {
                // A range from a dash, or one to a dash.
                told.push_str(if was_first { r"\-" } else { "-" });
                letters.next();
                told.push_str(if was_first { "-" } else { r"\-" });
            }
            other => told.push(other),
        }
    }
    told
}

/// What is asked of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The port as it was written; empty where there is none.
    pub port: String,
}

/// What `url.ParseRequestURI` takes, which is CEL's `isURL`, with the port that `getPort` says.
pub fn parse_request_uri(text: &str) -> Option<Url> {
    let portless = || {
        Some(Url {
            port: String::new(),
        })
    };
    if text.is_empty() || text.bytes().any(|b| b < b' ' || b == 0x7f) {
        return None;
    }
    if text == "*" {
        return portless();
    }
    let (scheme, rest) = scheme(text)?;
    let rest = rest.split('?').next().unwrap_or_default();
    if !rest.starts_with('/') {
        // With a scheme it is opaque, as in mailto:ada.
        return if scheme.is_empty() { None } else { portless() };
    }
    let (authority, path) = match rest.strip_prefix("//") {
        Some(after) if !scheme.is_empty() => after.split_at(after.find('/').unwrap_or(after.len())),
        _ => ("", rest),
    };
    if !well_escaped(path, |_| true) {
        return None;
    }
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if !user.chars().all(may_be_in_userinfo) || !well_escaped(user, |_| true) {
        return None;
    }
    let is_http = ["http", "https"]
        .iter()
        .any(|s| scheme.eq_ignore_ascii_case(s));
    port(host, is_http).map(|port| Url { port })
}

/// The scheme and what comes after its colon; an empty one where there is none.
fn scheme(text: &str) -> Option<(&str, &str)> {
    for (at, c) in text.bytes().enumerate() {
        match c {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return None,
            b':' => return Some((&text[..at], &text[at + 1..])),
            _ => return Some(("", text)),
        }
    }
    Some(("", text))
}

fn may_be_in_userinfo(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c)
}

/// The port of a host that Go takes.
fn port(host: &str, is_http: bool) -> Option<String> {
    let (after, is_bracketed) = match host.rfind('[') {
        Some(0) => {
            let close = host.rfind(']')?;
            if !is_ipv6(&host[1..close]) {
                return None;
            }
            (&host[close + 1..], true)
        }
        Some(_) => return None,
        None => {
            let colon = if is_http {
                host.find(':')
            } else {
                host.rfind(':')
            };
            (colon.map_or("", |at| &host[at..]), false)
        }
    };
    let digits = after.strip_prefix(':');
    let is_port = after.is_empty() || digits.is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit()));
    let is_host = is_bracketed
        || host.chars().all(may_be_in_host)
            && well_escaped(host, |byte| byte >= 0x80 || byte == b'%');
    (is_port && is_host).then(|| digits.unwrap_or_default().to_owned())
}

fn may_be_in_host(c: char) -> bool {
    !c.is_ascii() || c.is_ascii_alphanumeric() || "-_.~!$&'()*+,;=:[]<>\"%".contains(c)
}

fn is_ipv6(text: &str) -> bool {
    let (address, zone) = match text.split_once("%25") {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let is_zone = zone.is_none_or(|zone| {
        !zone.is_empty() && zone.chars().all(may_be_in_host) && well_escaped(zone, |_| true)
    });
    is_zone && Ipv6Addr::from_str(address).is_ok()
}

/// Whether each `%` begins an escape, of a byte that may be escaped here.
fn well_escaped(text: &str, may_be_escaped: impl Fn(u8) -> bool) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let Some((high, low)) = digit().zip(digit()) else {
            return false;
        };
        if !u8::try_from(high * 16 + low).is_ok_and(&may_be_escaped) {
            return false;
        }
    }
    true
}

/// What the API server takes for a `date-time`, which is more than RFC 3339: an offset of +99:99, and whatever stands
/// after a second `t`.
pub fn is_date_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut parts = lower.split('t');
    let (Some(date), Some(time)) = (parts.next(), parts.next()) else {
        return false;
    };
    is_date(date) && is_time(time)
}

fn two(text: &str) -> Option<u8> {
    let is_number = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

fn is_date(text: &str) -> bool {
    let mut parts = text.split('-');
    let (Some(year), Some(month), Some(day), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let is_year = year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit());
    let year = year.parse::<i16>().ok().filter(|_| is_year);
    let (Some(year), Some(month), Some(day)) = (year, two(month), two(day)) else {
        return false;
    };
    i8::try_from(month)
        .ok()
        .zip(i8::try_from(day).ok())
        .is_some_and(|(month, day)| jiff::civil::Date::new(year, month, day).is_ok())
}

fn is_time(text: &str) -> bool {
    let (Some(clock), Some(rest)) = (text.get(..8), text.get(8..)) else {
        return false;
    };
    let parts: Vec<_> = clock.split(':').map(two).collect();
    let [Some(hour), Some(minute), Some(second)] = parts[..] else {
        return false;
    };
    let rest = without_fraction(rest);
    let is_offset = |text: &str| {
        let offset = text
            .strip_prefix(['+', '-'])
            .and_then(|o| o.split_once(':'));
        offset.is_some_and(|(hours, minutes)| two(hours).and(two(minutes)).is_some())
    };
    hour <= 23 && minute <= 59 && second <= 59 && rest.iter().any(|r| *r == "z" || is_offset(r))
}

/// What may be the zone: a fraction before it is any character and digits, as the pattern has an unescaped dot.
fn without_fraction(text: &str) -> [&str; 2] {
    let mut letters = text.chars();
    let whole = match letters.next() {
        Some(c) if c != '\n' => letters.as_str(),
        _ => return [text, text],
    };
    let after = whole.trim_start_matches(|c: char| c.is_ascii_digit());
    if after.len() == whole.len() {
        return [text, text];
    }
    [text, after]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip] // One case a line.
    fn an_expression_matches_what_go_matches() {
        for (pattern, text, matches, why) in [
            (r"^\S(.*\S)?$", "ada", true, "a word"),
            (r"^\S(.*\S)?$", " ada", false, "a space"),
            (r"^\S(.*\S)?$", "\u{a0}ada", true, "only ASCII has spaces in Go"),
            (r"^\S(.*\S)?$", "\u{b}ada", true, "a vertical tab is none in Go"),
            (r"^[^\s@]+@[^\s@]+$", "a@b", true, "between brackets"),
            (r"^[^\s@]+@[^\s@]+$", "a b@c", false, "between brackets"),
            (r"^\d+$", "\u{664}", false, "only ASCII has digits in Go"),
            (r"^\w$", "ä", false, "nor letters"),
            (r"^\W$", "ä", true, "nor letters"),
            (r"^[a&&b]+$", "&&", true, "no intersection"),
            (r"^[a[b]$", "[", true, "no class within a class"),
            (r"^[]a]$", "]", true, "in first place"),
            (r"^[^]a]$", "]", false, "in first place"),
            (r"^[+--]$", ",", true, "a range to a dash"),
            (r"^[--/]$", ".", true, "a range from a dash"),
            (r"^[[:digit:]x]$", "7", true, "POSIX"),
            (r"^[-a~]$", "~", true, "one tilde"),
            (r"^a\]$", "a]", true, "an escape stays"),
            ("^a$", "a\n", false, "the end of the text is the end"),
        ] {
            assert_eq!(regex(pattern).unwrap().is_match(text), matches, "{pattern}: {text:?}: {why}");
        }
    }

    #[test]
    #[rustfmt::skip] // One case a line.
    fn a_url_is_what_go_takes_for_one() {
        for (text, port, why) in [
            ("https://a.example.com/scim/v2", Some(""), "no port"),
            ("https://a.example.com:8443/", Some("8443"), "a port"),
            ("https://a.example.com:443/", Some("443"), "the usual one is one"),
            ("https://a.example.com:99999/", Some("99999"), "it judges no range"),
            ("https://a.example.com:/", Some(""), "an empty one"),
            ("https://a.example.com:b/", None, "no number"),
            ("https://a:1:2/", None, "two ports"),
            ("x://a:1:2/", Some("2"), "that is for http alone"),
            ("https://[2001:db8::1]:0/", Some("0"), "IPv6"),
            ("https://[2001:db8::1", None, "not closed"),
            ("https://[1.2.3.4]/", None, "no IPv6"),
            ("https://[fe80::1%25eth0]/", Some(""), "a zone"),
            ("https://[fe80::1%25]/", None, "no zone"),
            ("https://999.999.999.999/", Some(""), "it judges no IPv4"),
            ("https://xn--a/", Some(""), "nor punycode"),
            ("https://a.example.com/%zz", None, "an escape of nothing"),
            ("https://a.example.com/%2", None, "half an escape"),
            ("https://a.example.com/%20", Some(""), "an escape"),
            ("https://a%20b/", None, "no escape in a host"),
            ("https://a b/", None, "a space"),
            ("https://u:p@a.example.com/", Some(""), "credentials"),
            ("https://u^@a.example.com/", None, "no user"),
            ("https://a\u{7f}/", None, "a control character"),
            ("/path", Some(""), "a path alone"),
            ("path", None, "no absolute URL"),
            ("mailto:ada", Some(""), "opaque"),
            (":x", None, "no scheme"),
            ("1https://x", None, "no scheme"),
            ("", None, "empty"),
            ("*", Some(""), "as in OPTIONS"),
        ] {
            let found = parse_request_uri(text).map(|url| url.port);
            assert_eq!(found.as_deref(), port, "{text}: {why}");
        }
    }

    #[test]
    #[rustfmt::skip] // One case a line.
    fn a_time_is_what_the_api_server_takes_for_one() {
        for (text, is, why) in [
            ("2027-01-31T18:00:00Z", true, "RFC 3339"),
            ("2027-01-31t18:00:00z", true, "in small letters"),
            ("2027-01-31T18:00:00.5+01:00", true, "a fraction and an offset"),
            ("2027-01-31T18:00:00+99:99", true, "an offset of nowhere"),
            ("2027-01-31T18:00:00,5Z", true, "its pattern has an unescaped dot"),
            ("2027-01-31T18:00:00ZTomorrow", true, "it looks no further"),
            ("2028-02-29T00:00:00Z", true, "a leap year"),
            ("2027-02-29T00:00:00Z", false, "no such day"),
            ("2027-1-31T18:00:00Z", false, "one digit"),
            ("2027-01-31T24:00:00Z", false, "no such hour"),
            ("2027-01-31T18:60:00Z", false, "no such minute"),
            ("2027-01-31T18:00:60Z", false, "no leap second"),
            ("2027-01-31T18:00:00", false, "no offset"),
            ("2027-01-31T18:00Z", false, "no second"),
            ("2027-01-31 18:00:00Z", false, "no T"),
            ("2027-01-31", false, "a date alone"),
            ("2027-01-31T", false, "no time"),
            ("Ⱥ027-01-31Tx", false, "no ASCII"),
            ("", false, "empty"),
        ] {
            assert_eq!(is_date_time(text), is, "{text}: {why}");
        }
    }
}
