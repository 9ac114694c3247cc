//! Who works on what names a connection, while connections and the rights to them come and go.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures::FutureExt;
use http::{Request, Response};
use kube::client::Body;

use super::*;

/// An API server that nobody asks.
struct Unasked;

impl tower::Service<Request<Body>> for Unasked {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = std::future::Pending<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        std::future::pending()
    }
}

fn right() -> (Held, Drained) {
    let client = Client::new(Unasked, "default");
    let events = Events::start(client.clone());
    Held::new(client, Fence::none(), events, Arc::default())
}

fn key(name: &str) -> Key {
    Key::new("identity", name)
}

/// What somebody finds to work by on what names `c`.
fn found(roster: &Roster) -> &'static str {
    match roster.post(&key("c")) {
        None => "another's",
        Some(Post {
            connection: Some(_),
            ..
        }) => "the connection",
        Some(_) => "nobody's",
    }
}

#[tokio::test]
async fn an_object_is_worked_on_by_whoever_holds_its_connection_and_what_has_none_by_one() {
    let share = Share::Connection(key("c"));
    let mut roster = Roster::default();
    assert!(roster.complete() && !roster.complete());
    assert_eq!(found(&roster), "another's", "nothing is held");
    assert!(roster.appears(&key("c")).is_none());
    assert_eq!(found(&roster), "another's", "it is there, and not ours");
    assert!(roster.take(share.clone(), right().0).is_some());
    assert_eq!(found(&roster), "the connection");
    let first = roster.running(&key("c")).unwrap();
    assert!(roster.leave(&share).is_some());
    assert_eq!(found(&roster), "another's", "given up");
    roster.take(share.clone(), right().0);
    let again = roster.running(&key("c")).unwrap();
    assert!(!Arc::ptr_eq(&first, &again), "nothing of before is kept");

    roster.take(Share::Nobodys, right().0);
    assert_eq!(found(&roster), "the connection", "it has one");
    roster.goes(&key("c"));
    assert_eq!(
        found(&roster),
        "another's",
        "it is gone, and its lease is not given back yet"
    );
    roster.leave(&share);
    assert_eq!(found(&roster), "nobody's");
    roster.leave(&Share::Nobodys);
    assert_eq!(found(&roster), "another's");
    assert!(roster.nobodys().is_none());
}

#[tokio::test]
async fn a_right_that_comes_before_its_connection_is_worked_by_once_that_is_there() {
    let mut roster = Roster::default();
    let share = Share::Connection(key("c"));
    assert!(roster.take(share, right().0).is_none(), "it is not there");
    assert!(roster.appears(&key("c")).is_some());
    assert_eq!(found(&roster), "the connection");
}

#[tokio::test]
async fn what_is_taken_anew_is_not_worked_by_a_right_of_before() {
    let mut roster = Roster::default();
    let share = Share::Connection(key("c"));
    roster.appears(&key("c"));
    let first = roster.take(share.clone(), right().0).unwrap();
    let again = roster.take(share, right().0).unwrap();
    assert!(!Arc::ptr_eq(&first, &again));
}

#[tokio::test]
async fn one_who_works_alone_works_on_everything_and_misses_no_connection_before_they_are_listed() {
    let mut roster = Roster::of_everything(right().0);
    assert_eq!(found(&roster), "another's", "nobody knows");
    assert!(roster.appears(&key("c")).is_some());
    assert_eq!(found(&roster), "the connection", "that one is there");
    roster.goes(&key("c"));
    assert_eq!(found(&roster), "another's");
    roster.complete();
    assert_eq!(found(&roster), "nobody's");
}

#[tokio::test]
async fn r22_a_share_has_drained_when_nobody_works_by_its_right_any_more() {
    let share = Share::Connection(key("c"));
    let (held, mut drained) = right();
    let mut roster = Roster::default();
    roster.appears(&key("c"));
    roster.take(share.clone(), held);
    let pass = roster.post(&key("c"));
    roster.leave(&share);
    assert!(drained.wait().now_or_never().is_none(), "a pass is at work");
    drop(pass);
    assert!(drained.wait().now_or_never().is_some());
}

#[tokio::test]
async fn what_is_done_in_the_background_is_not_waited_for() {
    let (held, mut drained) = right();
    let background = held.undrained();
    drop(held);
    assert!(drained.wait().now_or_never().is_some());
    drop(background);
}
