//! How long a connection is served: until it ends itself, is idle, or the gateway ends.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::gateway::open_request::IdleWatch;
use crate::streams::Guard;

/// How long keep-alive connections may still ask `readyz` after the end was asked for.
const LAME_DUCK: Duration = Duration::from_millis(500);

/// Lets a connection run. Once the gateway is to end, it finishes what it has and takes no more; once it is idle, it ends.
pub(super) async fn until_stop<C>(
    serving: C,
    mut stop: Guard,
    mut watch: IdleWatch,
    finish: impl FnOnce(std::pin::Pin<&mut C>),
) -> Result<(), hyper::Error>
where
    C: Future<Output = Result<(), hyper::Error>>,
{
    let mut serving = std::pin::pin!(serving);
    let ended = poll_fn(|cx| match serving.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(End::Itself(result)),
        Poll::Pending if watch.poll_idle(cx).is_ready() => Poll::Ready(End::Idle),
        Poll::Pending => stop.poll_fallen(cx).map(|()| End::Stop),
    });
    match ended.await {
        End::Itself(result) => return result,
        End::Idle => {
            finish(serving.as_mut());
            tokio::select! {
                result = serving.as_mut() => return result,
                () = watch.goodbye() => return Ok(()),
            }
        }
        End::Stop => {}
    }
    tokio::select! {
        result = serving.as_mut() => return result,
        () = tokio::time::sleep(LAME_DUCK) => {}
    }
    finish(serving.as_mut());
    serving.await
}

/// Why a connection is served no longer.
enum End {
    Itself(Result<(), hyper::Error>),
    Idle,
    Stop,
}

#[cfg(test)]
mod tests;
