// A Rust library for C programs (cdylib): threads, and panics that are caught at the border and inside.
use std::panic::{catch_unwind, set_hook};
use std::thread;

// std::hint::black_box is newer than some compilers.
fn black_box<T>(value: T) -> T {
    unsafe {
        let copy = std::ptr::read_volatile(&value);
        std::mem::forget(value);
        copy
    }
}

#[inline(never)]
fn library_hot(n: u64) -> u64 {
    let mut x = n;
    for _ in 0..n {
        x = black_box(x.wrapping_mul(6364136223846793005).wrapping_add(1));
    }
    x
}

#[inline(never)]
fn unwinds(depth: u32) -> Vec<u8> {
    let kept = vec![depth as u8; 100];
    if depth == 0 {
        panic!("out of depth");
    }
    let below = unwinds(depth - 1);
    drop(black_box(kept));
    below
}

#[no_mangle]
pub extern "C" fn LibraryWork(n: i32) -> i32 {
    set_hook(Box::new(|_| ())); // nothing on standard error
    let threads: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                black_box(library_hot(n as u64 * 200));
                match catch_unwind(|| unwinds(50)) {
                    Ok(_) => 0,
                    Err(_) => 1000,
                }
            })
        })
        .collect();
    let mut sum = 0;
    for t in threads {
        sum += t.join().unwrap();
    }
    let dies = thread::spawn(|| unwinds(10));
    sum + if dies.join().is_err() { 0 } else { 1 }
}
