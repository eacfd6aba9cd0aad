//! Waiting for a condition, with a deadline, instead of sleeping.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::bail;

/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `condition` holds; fails, saying what was awaited, when `limit` has passed.
///
/// ```no_run
/// # async fn example() -> anyhow::Result<()> {
/// # use std::time::Duration;
/// harness::wait_until("the file is there", Duration::from_secs(5), async || std::fs::exists("x").unwrap_or(false)).await?;
/// # Ok(()) }
/// ```
pub async fn wait_until<F>(what: &str, limit: Duration, mut condition: F) -> anyhow::Result<()>
where
    F: AsyncFnMut() -> bool,
{
    wait_for(what, limit, async || {
        if condition().await {
            Ok(())
        } else {
            Err("it does not hold")
        }
    })
    .await
}

/// Tries until `attempt` gives a value; fails with the last error when `limit` has passed.
pub async fn wait_for<T, E, F>(what: &str, limit: Duration, mut attempt: F) -> anyhow::Result<T>
where
    E: Debug,
    F: AsyncFnMut() -> Result<T, E>,
{
    let start = Instant::now();
    let mut tries = 0_u32;
    let mut last = "no answer".to_owned();
    loop {
        tries += 1;
        match tokio::time::timeout(limit.saturating_sub(start.elapsed()), attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => last = format!("{error:?}"),
            // One that was cut off by the deadline says less than the one before it.
            Err(_) => {}
        }
        if start.elapsed() >= limit {
            let seconds = limit.as_secs_f32();
            bail!("waited {seconds} s in vain until {what}; after {tries} looks, the last result: {last}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The future's value in a wait's result type, for those who await one future only.
pub(crate) async fn within<T>(
    what: &str,
    limit: Duration,
    future: impl Future<Output = T>,
) -> anyhow::Result<T> {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => Ok(value),
        Err(_) => bail!("{what} took longer than {} s", limit.as_secs()),
    }
}
