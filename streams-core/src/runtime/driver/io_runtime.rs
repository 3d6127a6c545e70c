//! The small tokio runtime of an application: its connections, and the signals it listens to.

use std::future::Future;

use tokio::runtime::{Builder, Handle, Runtime};

use crate::client::Call;

/// One thread for everything that waits on many things. Independent of the runtime, if any, from
/// which the application is started.
pub(crate) struct IoRuntime(Option<Runtime>);

impl IoRuntime {
    /// Starts it.
    pub(crate) fn new() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("streams-io")
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// To spawn on.
    pub(crate) fn handle(&self) -> Handle {
        self.0.as_ref().expect("the runtime lives as long as this").handle().clone()
    }

    /// Ready when the process is asked to stop: by ctrl-c, or by SIGTERM.
    pub(crate) fn stop_signal(&self) -> impl Future<Output = ()> + use<> {
        let (reply, call) = Call::pair(None);
        self.handle().spawn(async move {
            if let Err(error) = stop_requested().await {
                tracing::warn!(%error, "cannot listen to signals: the process ends without a last commit");
                std::future::pending::<()>().await;
            }
            reply.send(Ok(()));
        });
        async move {
            let _ = call.await;
        }
    }
}

async fn stop_requested() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

impl Drop for IoRuntime {
    fn drop(&mut self) {
        // Dropping a runtime waits, which async code must not.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
