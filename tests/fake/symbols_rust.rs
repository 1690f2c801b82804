// As symbols_c.c, for Rust's names.
mod server {
    pub struct Worker<T> {
        pub items: Vec<T>,
    }
    pub trait Handle {
        fn handle(&mut self, n: u32) -> usize;
    }
    impl Handle for Worker<u32> {
        #[inline(never)]
        fn handle(&mut self, n: u32) -> usize {
            (0..n).for_each(|i| self.items.push(i));
            self.items.len()
        }
    }
}
use server::Handle;
fn main() {
    let mut w = server::Worker { items: Vec::new() };
    println!("{}", w.handle(std::env::args().count() as u32));
}
