//! What the state knows of pods, for the kubelet API.

use adapters::kubelet::{PodQuestion, PodView};
use engine::{Pod, State};

/// Answers one question. Whoever asked may have gone.
pub fn answer(state: &State, question: PodQuestion) {
    match question {
        PodQuestion::Find { namespace, name, answer } => {
            let bound = state.pods().filter(|pod| pod.facts().is_some());
            let named = bound.filter(|pod| *pod.pod().namespace == *namespace && *pod.pod().name == *name);
            // Where a pod was replaced under its name, the one that is going may still be here.
            let newest = named.min_by_key(|pod| pod.facts().is_some_and(|facts| facts.deletion.is_some()));
            let _ = answer.send(newest.map(view));
        }
        PodQuestion::All { answer } => {
            let _ = answer.send(state.pods().filter(|pod| pod.cloud_facts().is_some()).map(view).collect());
        }
    }
}

fn view(pod: &Pod) -> PodView {
    PodView {
        pod: pod.pod().clone(),
        cloud_name: pod.cloud_name(),
        status: pod.cloud_facts().map(|facts| facts.status.clone()),
    }
}
