//! How a request meets the cluster: time passes, the fault plan is asked, the answer comes back.

use streams_core::client::{Call, ClientError, Reply, WakeRef};

use super::cluster::Cluster;
use super::faults::{Fault, Operation, Step, lost};

impl Cluster {
    /// Runs a request that is answered as soon as it is done.
    pub(super) fn request<T: Send + 'static>(
        &self,
        wake: &WakeRef,
        step: Step,
        client: &str,
        run: impl Fn(&Self) -> Result<T, ClientError> + Send + 'static,
    ) -> Call<T> {
        let (reply, call) = Call::pair(Some(wake.clone()));
        self.tick();
        match self.fault(step, client) {
            Fault::None => reply.send(run(self)),
            Fault::Fail(error) => reply.send(Err(error)),
            Fault::Delay(time) | Fault::Block(time) => {
                self.timers.at(time, move |cluster| reply.send(run(cluster)));
            }
            Fault::DelayAnswer(time) => {
                let answer = run(self);
                self.timers.at(time, move |_| reply.send(answer));
            }
            Fault::LoseAnswer => {
                drop(run(self));
                reply.send(Err(lost(step)));
            }
            Fault::LoseRequest => reply.send(Err(lost(step))),
            Fault::Twice(time) => {
                reply.send(run(self));
                self.timers.at(time, move |cluster| drop(run(cluster)));
            }
            Fault::FailLate(error, time) => {
                reply.send(Err(error));
                self.timers.at(time, move |cluster| drop(run(cluster)));
            }
        }
        call
    }

    /// Runs a request whose answer may have to wait for others: `run` keeps the reply.
    pub(super) fn request_waiting<T: Send + 'static>(
        &self,
        wake: &WakeRef,
        step: Step,
        client: &str,
        run: impl Fn(&Self, Reply<T>) + Send + 'static,
    ) -> Call<T> {
        let (reply, call) = Call::pair(Some(wake.clone()));
        self.tick();
        match self.fault(step, client) {
            Fault::None => run(self, reply),
            Fault::Fail(error) => reply.send(Err(error)),
            Fault::Delay(time) | Fault::DelayAnswer(time) | Fault::Block(time) => {
                self.timers.at(time, move |cluster| run(cluster, reply));
            }
            Fault::LoseAnswer => {
                run(self, Call::pair(None).0);
                reply.send(Err(lost(step)));
            }
            Fault::LoseRequest => reply.send(Err(lost(step))),
            Fault::Twice(time) => {
                run(self, reply);
                self.timers.at(time, move |cluster| run(cluster, Call::pair(None).0));
            }
            Fault::FailLate(error, time) => {
                reply.send(Err(error));
                self.timers.at(time, move |cluster| run(cluster, Call::pair(None).0));
            }
        }
        call
    }

    pub(super) fn fault(&self, step: Step, client: &str) -> Fault {
        let now = self.clock.now();
        if step.asks_a_coordinator() && self.coordinators_move_until() > now {
            return Fault::LoseRequest;
        }
        if !self.faults.active() {
            return Fault::None;
        }
        self.faults.decide(&Operation { step, client, partition: None }, now)
    }
}
