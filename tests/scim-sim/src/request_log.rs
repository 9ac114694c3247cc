//! What was asked: the last requests, and counts of all of them.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// One request under the SCIM base path, as it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoggedRequest {
    /// The HTTP method, in upper case.
    pub method: String,
    /// The path below the SCIM base, such as `/Users/2819c223`; still percent-encoded.
    pub path: String,
    /// The raw query, empty when there is none.
    pub query: String,
    /// The HTTP status; 0 when no answer was sent (hang, dropped reply).
    pub status: u16,
}

/// How many requests were made since the start or the last clearing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct RequestCounts {
    /// All requests under the SCIM base path.
    pub total: u64,
    /// By method and endpoint, such as `POST /Users` or `PATCH /Users/{id}`.
    pub by_endpoint: BTreeMap<String, u64>,
    /// By HTTP status; 0 stands for no answer.
    pub by_status: BTreeMap<u16, u64>,
}

#[derive(Debug)]
pub(crate) struct RequestLog {
    capacity: usize,
    entries: VecDeque<LoggedRequest>,
    counts: BTreeMap<(String, &'static str), u64>,
    by_status: BTreeMap<u16, u64>,
    total: u64,
}

impl RequestLog {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: VecDeque::new(),
            counts: BTreeMap::new(),
            by_status: BTreeMap::new(),
            total: 0,
        }
    }

    pub(crate) fn record(&mut self, endpoint: &'static str, request: LoggedRequest) {
        self.total += 1;
        *self.by_status.entry(request.status).or_default() += 1;
        *self
            .counts
            .entry((request.method.clone(), endpoint))
            .or_default() += 1;
        if self.capacity == 0 {
            return;
        }
        if self.entries.len() == self.capacity {
            self.entries.pop_front();
        }
        self.entries.push_back(request);
    }

    pub(crate) fn entries(&self) -> Vec<LoggedRequest> {
        self.entries.iter().cloned().collect()
    }

    pub(crate) fn counts(&self) -> RequestCounts {
        RequestCounts {
            total: self.total,
            by_endpoint: self
                .counts
                .iter()
                .map(|((method, endpoint), n)| (format!("{method} {endpoint}"), *n))
                .collect(),
            by_status: self.by_status.clone(),
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_the_counts_are_not() {
        let mut log = RequestLog::new(2);
        for status in [200, 201, 404] {
            let request = LoggedRequest {
                method: "GET".to_owned(),
                path: "/Users".to_owned(),
                query: String::new(),
                status,
            };
            log.record("/Users", request);
        }
        let kept: Vec<u16> = log.entries().iter().map(|entry| entry.status).collect();
        assert_eq!(kept, [201, 404]);
        assert_eq!(log.counts().total, 3);
        assert_eq!(log.counts().by_endpoint["GET /Users"], 3);
        assert_eq!(log.counts().by_status[&200], 1);
        log.clear();
        assert_eq!(log.counts(), RequestCounts::default());
    }
}
