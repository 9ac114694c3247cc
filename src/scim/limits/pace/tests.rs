//! The learned rate against backends that allow so much a second, or a minute.

use super::*;

/// A backend that allows so many requests in each window, and a sender that goes as fast as it may.
struct Backend {
    allowed: u32,
    window: Duration,
    used: u32,
    since: Instant,
}

struct Outcome {
    used: f64,
    refused: f64,
}

/// Sends for so long, with a latency of 10 ms and 4 requests in flight.
fn play(pace: &mut Pace, backend: &mut Backend, begun: Instant, length: Duration) -> Outcome {
    let (latency, tick) = (Duration::from_millis(10), Duration::from_millis(1));
    let (mut served, mut refused) = (0u32, 0u32);
    let mut flying: VecDeque<(Instant, bool)> = VecDeque::new();
    let (mut now, mut next_by_configuration) = (begun, begun);
    while now - begun < length {
        while flying
            .front()
            .is_some_and(|(sent, _)| now - *sent >= latency)
        {
            let (sent, fits) = flying.pop_front().unwrap();
            if fits {
                served += 1;
                pace.answered(now);
            } else {
                refused += 1;
                // As servers do: whole seconds, rounded up.
                let left = backend.window.saturating_sub(now - backend.since);
                let asked = Duration::from_secs(left.as_secs() + 1);
                pace.refused(sent, now, Some(asked), Why::TooMany);
            }
        }
        if flying.len() < 4
            && now >= next_by_configuration
            && pace.paused_until(now).is_none()
            && pace.take(now).is_ok()
        {
            next_by_configuration = now + Duration::from_secs_f64(1.0 / pace.most);
            if now - backend.since >= backend.window {
                (backend.since, backend.used) = (now, 0);
            }
            let fits = backend.used < backend.allowed;
            backend.used += u32::from(fits);
            flying.push_back((now, fits));
        }
        now += tick;
    }
    let possible = f64::from(backend.allowed) * length.as_secs_f64() / backend.window.as_secs_f64();
    Outcome {
        used: f64::from(served) / possible,
        refused: f64::from(refused) / f64::from(served + refused),
    }
}

fn backend(allowed: u32, window: Duration) -> Backend {
    Backend {
        allowed,
        window,
        used: 0,
        since: Instant::now(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_quota_is_used_and_little_is_refused() {
    for (most, allowed, window, why) in [
        (200, 100, 1, "twice what is allowed"),
        (1000, 100, 1, "ten times what is allowed"),
        (20, 10, 1, "a slow backend"),
        (20, 600, 60, "by the minute"),
    ] {
        let mut backend = backend(allowed, Duration::from_secs(window));
        let mut pace = Pace::new(most);
        let length = Duration::from_secs(1800);
        let Outcome { used, refused } = play(&mut pace, &mut backend, Instant::now(), length);
        assert!(used >= 0.95, "{why}: {used} used");
        assert!(refused <= 0.01, "{why}: {refused} refused");
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_raised_is_found() {
    let mut pace = Pace::new(200);
    let begun = Instant::now();
    let second = Duration::from_secs(1);
    let mut small = backend(20, second);
    let half_an_hour = Duration::from_secs(1800);
    play(&mut pace, &mut small, begun, half_an_hour);
    assert!((18.0..=22.0).contains(&pace.rate()), "{}", pace.rate());
    let mut large = backend(1000, second);
    large.since = begun + half_an_hour;
    play(&mut pace, &mut large, begun + half_an_hour, half_an_hour);
    assert!((199.9..=200.1).contains(&pace.rate()), "{}", pace.rate());
}

#[tokio::test(start_paused = true)]
async fn one_refusal_when_little_was_sent_teaches_no_rate() {
    let mut pace = Pace::new(100);
    let mut now = Instant::now();
    for _ in 0..3 {
        pace.take(now).unwrap();
        pace.answered(now);
        now += Duration::from_secs(5);
    }
    pace.refused(now, now, Some(Duration::from_secs(2)), Why::TooMany);
    assert_eq!(pace.rate(), 100.0);
    assert_eq!(pace.paused_until(now), Some(now + Duration::from_secs(2)));
    for _ in 0..10 {
        now += Duration::from_secs(60);
        pace.refused(now, now, None, Why::TooMany);
    }
    assert_eq!(
        pace.rate(),
        100.0,
        "an outage of 429s is no word on the rate either"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_for_a_while_teaches_no_rate() {
    let mut pace = Pace::new(100);
    let now = Instant::now();
    for _ in 0..50 {
        pace.take(now).unwrap();
        pace.answered(now);
    }
    pace.refused(now, now, Some(Duration::from_secs(7)), Why::Unavailable);
    assert_eq!(pace.rate(), 100.0);
    assert_eq!(pace.paused_until(now), Some(now + Duration::from_secs(7)));
}

#[tokio::test(start_paused = true)]
async fn an_idle_while_is_no_part_of_what_was_too_much() {
    let mut pace = Pace::new(10);
    let mut now = Instant::now();
    for _ in 0..200 {
        pace.take(now).unwrap();
        pace.answered(now);
        now += Duration::from_secs(100);
    }
    for _ in 0..50 {
        pace.take(now).unwrap();
        pace.answered(now);
        now += Duration::from_millis(100);
    }
    pace.refused(now, now, Some(Duration::from_secs(5)), Why::TooMany);
    // Fifty within five seconds, and five of waiting.
    assert!((4.0..6.0).contains(&pace.rate()), "{}", pace.rate());
}
