//! Quick figures.
use std::time::Instant;
use thither_python::{Python, locals};
fn main() {
    let t = Instant::now();
    let py = Python::local(&std::env::args().nth(1).unwrap_or("python3".into())).unwrap();
    let os = py.import("os").unwrap();
    let pid = os.getattr("getpid").unwrap();
    let _: u32 = pid.call0().unwrap();
    println!("connect and first {:?}", t.elapsed());
    for _ in 0..3 {
        let mut all = Vec::new();
        for _ in 0..20000 {
            let t = Instant::now();
            let _: u32 = pid.call0().unwrap();
            all.push(t.elapsed());
        }
        all.sort();
        println!("getpid {:?} {:?}", all[10000], all[19800]);
    }
    let t = Instant::now();
    let pending: Vec<_> = (0..100_000).map(|_| pid.start0::<u32>().unwrap()).collect();
    println!("started {:?}", t.elapsed());
    for p in pending { let _ = p.wait().unwrap(); }
    println!("pipelined {:?} a second", 100_000. / t.elapsed().as_secs_f64());
    let f = py.callback(|(n,): (i64,)| Ok(n));
    py.exec("def calls(f, n):\n  for i in range(n): f(i)\n", ()).unwrap();
    let calls = py.get("calls").unwrap();
    let t = Instant::now();
    calls.call1::<()>((&f, 10000)).unwrap();
    println!("callback {:?}", t.elapsed() / 10000);
    let b = serde_bytes::ByteBuf::from(vec![1; 64 << 20]);
    let len = py.get("len").unwrap();
    let t = Instant::now();
    let _: u64 = len.call1((&b,)).unwrap();
    println!("send {:?} MiB/s", 64. / t.elapsed().as_secs_f64());
    py.exec("big = bytes(64 << 20)", ()).unwrap();
    let big = py.get("big").unwrap();
    let t = Instant::now();
    let b: serde_bytes::ByteBuf = big.extract().unwrap();
    println!("receive {:?} MiB/s {}", 64. / t.elapsed().as_secs_f64(), b.len());
    let l: Vec<i64> = (0..100_000).collect();
    let t = Instant::now();
    let _: u64 = len.call1((&l,)).unwrap();
    println!("list send {:?}", t.elapsed());
    py.exec("l = list(range(100000))", ()).unwrap();
    let t = Instant::now();
    let l: Vec<i64> = py.get("l").unwrap().extract().unwrap();
    println!("list receive {:?} {}", t.elapsed(), l.len());
    let t = Instant::now();
    let n = py.get("l").unwrap().iter::<i64>().unwrap().count();
    println!("iterate {:?} an item", t.elapsed() / n as u32);
    let _ = locals! {};
}
