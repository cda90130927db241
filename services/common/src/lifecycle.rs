//! Who owns a task, and how all of them end.
//!
//! Stopping is soft first: listeners stop accepting, calls under way finish. After the grace period the hard
//! token fires and what is left is dropped.

use std::{future::Future, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Owns the tasks of a process.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    tasks: TaskTracker,
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Lifecycle {
    /// Makes a lifecycle without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task until it ends or the hard stop comes.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let hard = self.hard.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = hard.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Completes when the soft stop begins.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.soft.clone().cancelled_owned()
    }

    /// Begins the soft stop.
    pub fn stop(&self) {
        self.soft.cancel();
    }

    /// Begins the soft stop on SIGTERM or SIGINT.
    pub async fn stop_on_signal(&self) -> std::io::Result<()> {
        let mut term = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = term.recv() => tracing::info!(signal = "SIGTERM", "draining"),
            _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "draining"),
            () = self.soft.cancelled() => {}
        }
        self.stop();
        Ok(())
    }

    /// Waits for every task to end; drops those that are left after `grace`.
    pub async fn drain(&self, grace: Duration) {
        self.stop();
        self.tasks.close();
        if tokio::time::timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "grace period is over: dropping what is left");
            self.hard.cancel();
            self.tasks.wait().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_does_not_end_is_dropped_after_the_grace_period() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn(std::future::pending());
        lifecycle.drain(Duration::from_millis(10)).await;
        assert!(lifecycle.tasks.is_empty());
    }
}
