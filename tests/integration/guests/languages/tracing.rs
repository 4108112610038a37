//! tracing: the spans and events that the test expects. tracing THREADS COUNT: emits COUNT events in spans, in each of
//! THREADS threads.

use tracing::{info, info_span};
use tracing_subscriber::prelude::*;

fn emit(number: u64, count: u64) {
    for i in 0..count / 2 {
        drop(info_span!("job", key = number << 32 | i));
    }
}

fn main() {
    let opened = hypertrace::open(None).is_ok();
    tracing_subscriber::registry().with(hypertrace_tracing::Layer::new()).init();
    let numbers: Vec<u64> = std::env::args().skip(1).map(|word| word.parse().unwrap()).collect();
    if let [threads, count] = numbers[..] {
        let running: Vec<_> = (0..threads).map(|number| std::thread::spawn(move || emit(number, count))).collect();
        for thread in running {
            thread.join().unwrap();
        }
        return;
    }
    for size in [4096u64, 5] {
        let request = info_span!("request", size, path = "/index", ratio = 0.25);
        let inside = request.clone();
        std::thread::spawn(move || inside.in_scope(|| info_span!("parse \"header\"", ok = true).in_scope(|| ()))).join().unwrap();
        request.in_scope(|| info!(request.left = -3i64, last = size == 5, "a text"));
    }
    if !opened {
        std::process::exit(3);
    }
}
