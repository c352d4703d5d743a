//! What the operating system tells of this process.

use crate::output::counted;

/// The largest resident memory so far, in MiB; `None` where the system does not tell.
pub(crate) fn peak_memory_mb() -> Option<u64> {
    status_kb("VmHWM:").map(|kb| kb / 1024)
}

/// The resident memory now, in MiB; `None` where the system does not tell.
pub(crate) fn memory_mb() -> Option<u64> {
    status_kb("VmRSS:").map(|kb| kb / 1024)
}

/// Makes [`peak_memory_mb`] count from here on, where the system can.
pub(crate) fn reset_peak_memory() {
    // Linux: 5 resets the peak of the resident memory. Elsewhere the peak stays that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

fn status_kb(key: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The name of this machine, in letters that a file's name may have.
pub(crate) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String =
        name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

/// What a run can use, for people: processor, vector unit, threads and memory, as far as the system tells.
pub(crate) fn resources() -> String {
    let processor = processor().unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let processor: String = processor.chars().take(32).collect();
    let threads = counted(rayon::current_num_threads(), "thread");
    let level = format!("{:?}", tensor::Level::current());
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let gib = |key: &str| -> Option<u64> {
        let line = info.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.split_whitespace().next()?.parse::<u64>().ok()? >> 20)
    };
    let memory = match (gib("MemAvailable:"), gib("MemTotal:")) {
        (Some(free), Some(all)) => format!(", {free} of {all} GiB free"),
        _ => String::new(),
    };
    format!("{processor}, {level}, {threads}{memory}")
}

/// The name of the processor.
fn processor() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map(|(_, name)| name.trim().to_owned())
}

/// What computes: the architecture, its vector unit, and the name of the processor where the system tells it.
pub(crate) fn machine() -> String {
    let model = processor().map(|name| format!(", {name}")).unwrap_or_default();
    format!("{}, {:?}{model}", std::env::consts::ARCH, tensor::Level::current())
}
