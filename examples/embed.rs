//! A host application: its own runtime, its own logs, and an engine of its own.
//!
//! Run it with `cargo run --release --example embed`. It extracts a page, reads another one chunk by chunk, looks
//! at the live tree, and stops.

#![expect(clippy::print_stdout, reason = "it is an example")]

use std::error::Error;
use std::time::Duration;

use eventmesh::{Chunk, Engine, ErrorKind, Request};

fn main() -> Result<(), Box<dyn Error>> {
    // PDFs are read by processes of this same program: started as one, it does nothing else.
    eventmesh::worker_main();
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(host())
}

async fn host() -> Result<(), Box<dyn Error>> {
    let engine = Engine::builder().workers(2).deadline(Duration::from_secs(5)).start().await?;

    // The whole answer at once.
    let request = Request::path(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sample.html"));
    let answer = engine.extract(request).document().await?;
    println!("{:?}: {} words, quality {:.2}", answer.document.title, answer.document.word_count, answer.document.quality);

    // Chunk by chunk: the last one is `Done` or `Error`, and there is exactly one of them.
    let page = "<title>Small</title><p>A page from memory, with <a href=/somewhere>a link</a>.";
    let mut reply = engine.extract(Request::bytes(page.as_bytes()).base_url("https://host.example/"));
    while let Some(chunk) = reply.next().await {
        match chunk {
            Chunk::Head(head) => println!("found, {} bytes", head.bytes),
            Chunk::Body(body) => print!("{}", body.into_document()?.markdown),
            Chunk::Route(_) | Chunk::Page(_) | Chunk::Picture(_) | Chunk::Rendered(_) | Chunk::Extract(..) => {}
            Chunk::Done(timing) => println!("done in {:?}", timing.total),
            Chunk::Error(error) => println!("failed: {error}"),
        }
    }

    // A PDF, page by page: no more than a few pages are held, however many there are.
    let mut reply = engine.extract(Request::path(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sample.pdf")).stream_pages());
    while let Some(chunk) = reply.next().await {
        match chunk {
            Chunk::Page(page) => println!("page {}: {} characters, {} tables", page.number, page.text.len(), page.tables.len()),
            Chunk::Error(error) => println!("failed: {error}"),
            Chunk::Head(_)
            | Chunk::Route(_)
            | Chunk::Picture(_)
            | Chunk::Rendered(_)
            | Chunk::Extract(..)
            | Chunk::Body(_)
            | Chunk::Done(_) => {}
        }
    }

    // Failures have a kind to decide by and a text to show.
    match engine.extract(Request::path("no-such-page.html")).document().await {
        Err(error) if error.kind() == ErrorKind::SourceNotFound => println!("as expected: {error}"),
        other => println!("a surprise: {other:?}"),
    }

    // Dropping a reply cancels its work.
    drop(engine.extract(Request::bytes(page.as_bytes())));

    for pool in engine.snapshot().tree.pools() {
        println!("pool {}: {} jobs done, {} lost", pool.name, pool.counts.jobs, pool.counts.jobs_lost);
    }
    engine.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
