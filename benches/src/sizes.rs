//! `sizes`: a page in the sandbox against the same code native, with and without epochs, interleaved.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use eventmesh_extractors::wasm::{Guest, Job, Sandbox, SandboxSpec};
use eventmesh_guest::{Hints, decode_output, encode_hints, extract};
use serde_json::json;
use tokio::time::Instant;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, InstancePre, Linker, Module, PoolingAllocationConfig, Store,
};

use crate::Error;
use crate::machine::thread_cpu;
use crate::pages::{SIZES, page};
use crate::report::Report;
use crate::stats::{micros, percentile, ratio};

/// Time spent on each size.
const BUDGET: Duration = Duration::from_secs(12);

/// CPU time and wall time of each round of one variant.
#[derive(Default)]
struct Samples {
    cpu: Vec<Duration>,
    wall: Vec<Duration>,
}

impl Samples {
    fn take<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (cpu, wall) = (thread_cpu(), Instant::now());
        let output = work();
        self.wall.push(wall.elapsed());
        self.cpu.push(thread_cpu() - cpu);
        output
    }

    fn cpu(&mut self) -> Duration {
        percentile(&mut self.cpu, 0.5)
    }
}

pub(crate) fn run() -> Result<Report, Error> {
    let sandbox = Sandbox::new(&SandboxSpec::new(1))?;
    let bare = Bare::new()?;
    let cancelled = Arc::new(AtomicBool::new(false));
    let hints = Hints { base_url: Some("https://example.com/a/b".into()), ..Hints::default() };
    let mut report = Report::default();
    for (name, size) in SIZES {
        let page = page(size, 1);
        let job = Job { page: page.clone().into(), hints: hints.clone(), deadline: Instant::now() + Duration::from_secs(3600) };
        let (mut native, mut fresh, mut epochs) = (Samples::default(), Samples::default(), Samples::default());
        let mut memory = 0;
        let began = Instant::now();
        while began.elapsed() < BUDGET || native.cpu.len() < 20 {
            let expected = native.take(|| extract(page.as_bytes(), &hints));
            let output = fresh.take(|| bare.run(&hints, page.as_bytes()))?;
            let extracted = epochs.take(|| sandbox.run(&job, &cancelled))?;
            memory = extracted.memory;
            if output != Some(expected.text) || extracted.document.text.is_empty() {
                return Err("the sandbox and the native code disagree".into());
            }
        }
        let (n, f, e) = (native.cpu(), fresh.cpu(), epochs.cpu());
        report.row([
            ("page", json!(name)),
            ("bytes", json!(page.len())),
            ("rounds", json!(native.cpu.len())),
            ("native_us", json!(micros(n))),
            ("fresh_us", json!(micros(f))),
            ("epochs_us", json!(micros(e))),
            ("fresh_to_native", json!(ratio(f, n))),
            ("epochs_to_fresh", json!(ratio(e, f))),
            ("p50_ms", json!(micros(percentile(&mut epochs.wall, 0.5)) / 1e3)),
            ("p95_ms", json!(micros(percentile(&mut epochs.wall, 0.95)) / 1e3)),
            ("ops_per_cpu_second", json!(1.0 / e.as_secs_f64())),
            ("memory_bytes", json!(memory)),
        ]);
        let bound = if size >= 50_000 { 1.6 } else { 2.2 };
        if size >= 50_000 || size <= 1_000 {
            report.at_most(&format!("{name}: fresh instance over native, CPU"), ratio(f, n), bound);
        }
        report.at_most(&format!("{name}: epochs over none, CPU"), ratio(e, f), 1.2);
    }
    Ok(report)
}

/// The same guest in the same engine without epochs: what a sandbox costs that nobody can stop.
struct Bare {
    engine: Engine,
    guest: InstancePre<()>,
}

impl Bare {
    fn new() -> Result<Self, Error> {
        let spec = SandboxSpec::new(1);
        let mut pool = PoolingAllocationConfig::new();
        pool.total_core_instances(2)
            .total_memories(2)
            .total_tables(2)
            .max_memory_size(spec.memory)
            .linear_memory_keep_resident(spec.keep_resident)
            .table_keep_resident(64 << 10)
            .pagemap_scan(Enabled::Auto);
        let mut config = Config::new();
        config
            .concurrency_support(false)
            .max_wasm_stack(spec.stack)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config)?;
        let module = Module::new(&engine, Guest::BuiltIn.bytes())?;
        let guest = Linker::new(&engine).instantiate_pre(&module)?;
        Ok(Self { engine, guest })
    }

    /// One page in a fresh instance; its text.
    fn run(&self, hints: &Hints, page: &[u8]) -> Result<Option<String>, Error> {
        let mut store = Store::new(&self.engine, ());
        let instance = self.guest.instantiate(&mut store)?;
        let memory = instance.get_memory(&mut store, "memory").ok_or("no memory")?;
        let alloc = instance.get_typed_func::<u32, u32>(&mut store, "alloc")?;
        let extract = instance.get_typed_func::<(u32, u32), u64>(&mut store, "extract")?;
        let hints = encode_hints(hints);
        let length = u32::try_from(hints.len() + page.len())?;
        let address = alloc.call(&mut store, length)?;
        memory.write(&mut store, address as usize, &hints)?;
        memory.write(&mut store, address as usize + hints.len(), page)?;
        let output = extract.call(&mut store, (address, length))?;
        let (address, length) = (usize::try_from(output >> 32)?, usize::try_from(output & 0xffff_ffff)?);
        let output = memory.data(&store).get(address..address + length).ok_or("outside of its memory")?;
        Ok(decode_output(output).map(|document| document.text))
    }
}
