//! program: the events that the test expects. program THREADS COUNT: emits COUNT spans and counters in each of THREADS
//! threads.

mod events;

fn emit(number: u64, count: u64) {
    for i in 0..count / 2 {
        let mut job = events::Job::new(number << 32 | i, 0.5, true);
        job.result = i as i64;
    }
}

fn main() {
    let opened = hypertrace::open(None).is_ok();
    let numbers: Vec<u64> = std::env::args().skip(1).map(|word| word.parse().unwrap()).collect();
    if let [threads, count] = numbers[..] {
        let running: Vec<_> = (0..threads).map(|number| std::thread::spawn(move || emit(number, count))).collect();
        for thread in running {
            thread.join().unwrap();
        }
        return;
    }
    events::request(4096, 0x10, events::RequestKind::WRITE);
    {
        let mut job = events::Job::new(7, 0.25, true);
        events::queue_depth(-3);
        job.result = -1;
    }
    events::done();
    if !opened {
        std::process::exit(3);
    }
}
