// Rust shapes for the stack tests: closures, trait objects, collections, threads, a caught panic.
use std::collections::{BTreeMap, HashMap};
use std::thread;

trait Shape {
    fn work(&self, depth: usize) -> usize;
}

struct Words(HashMap<String, usize>);
struct Tree(BTreeMap<usize, Vec<u8>>);

impl Shape for Words {
    fn work(&self, depth: usize) -> usize {
        let more: Vec<String> = self.0.keys().map(|k| format!("{k}-{depth}")).collect();
        if depth == 0 { more.len() } else { make(depth).work(depth - 1) + more.len() }
    }
}

impl Shape for Tree {
    fn work(&self, depth: usize) -> usize {
        let mut copy = self.0.clone();
        copy.insert(depth, vec![0; depth + 1]);
        if depth == 0 { copy.len() } else { make(depth).work(depth - 1) + copy.len() }
    }
}

fn make(kind: usize) -> Box<dyn Shape> {
    if kind % 2 == 0 {
        Box::new(Words((0..8).map(|i| (format!("word{i}"), i)).collect()))
    } else {
        Box::new(Tree((0..8).map(|i| (i, vec![1; i + 1])).collect()))
    }
}

fn main() {
    let rounds: usize = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(300);
    let threads: Vec<_> = (0..3)
        .map(|t| thread::spawn(move || (0..rounds).map(|i| make(t).work(i % 17)).sum::<usize>()))
        .collect();
    let sum: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
    std::panic::set_hook(Box::new(|_| {}));
    let caught = std::panic::catch_unwind(|| {
        let empty: Vec<usize> = Vec::new();
        empty[rounds.max(1)] // the compiler does not know
    });
    println!("{sum} {}", caught.is_err());
}
