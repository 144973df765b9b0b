//! A workflow started and finished through the API alone, without an SDK: the proof that frontend, history, matching and
//! the database work together.

use std::time::{Duration, Instant};

use super::grpc::{GrpcError, Peer};
use super::messages::{
    COMPLETE_WORKFLOW, Command, CompleteWorkflowTask, DescribeWorkflow, Execution, Name, Nothing, PollWorkflowTask,
    Span, StartWorkflow,
};

const IDENTITY: &str = "refit";
const WORKFLOW: &str = "refit-canary";

/// One that is left half-way closes by itself.
const LIFE: Span = Span { seconds: 60 };

const REGISTERED: i32 = 1;
const COMPLETED: i32 = 2;

/// Between two looks at whether it is closed.
const REST: Duration = Duration::from_millis(50);

/// Why the canary did not come through, and where it stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CanaryError {
    #[error("{call}: {error}")]
    Call { call: &'static str, error: GrpcError },
    #[error("namespace `{0}` is deprecated or deleted")]
    Namespace(String),
    #[error("no workflow task came in {} s", .0.as_secs())]
    NoTask(Duration),
    #[error("a workflow that is not the canary came from its own task queue")]
    Stranger,
    #[error("the workflow is not completed after {} s: {}", .1.as_secs(), status_name(*.0))]
    Open(i32, Duration),
}

fn status_name(status: i32) -> &'static str {
    match status {
        1 => "running",
        2 => "completed",
        3 => "failed",
        4 => "canceled",
        5 => "terminated",
        6 => "continued as new",
        7 => "timed out",
        _ => "no status",
    }
}

impl Peer {
    /// Describes the namespace, starts a workflow in it, takes its only task, completes it and sees it closed. `limit` is
    /// for the task, and for the closing; a workflow that is left half-way times out after a minute.
    pub(crate) async fn canary(&mut self, namespace: &str, limit: Duration) -> Result<(), CanaryError> {
        let at = |call: &'static str| move |error| CanaryError::Call { call, error };
        let described = self
            .describe_namespace(namespace)
            .await
            .map_err(at("DescribeNamespace"))?;
        if described.info.is_none_or(|info| info.state != REGISTERED) {
            return Err(CanaryError::Namespace(namespace.to_owned()));
        }
        let id = format!("{WORKFLOW}-{}", uuid::Uuid::now_v7());
        // A task queue of its own: no worker but this one takes the task.
        let queue = Some(Name { name: id.clone() });
        let start = StartWorkflow {
            namespace: namespace.to_owned(),
            workflow_id: id.clone(),
            workflow_type: Some(Name { name: WORKFLOW.into() }),
            task_queue: queue.clone(),
            workflow_execution_timeout: Some(LIFE),
            identity: IDENTITY.into(),
            request_id: id.clone(),
        };
        let started = self.start_workflow(start).await.map_err(at("StartWorkflowExecution"))?;
        let execution = Execution {
            workflow_id: id,
            run_id: started.run_id,
        };
        let poll = PollWorkflowTask {
            namespace: namespace.to_owned(),
            task_queue: queue,
            identity: IDENTITY.into(),
        };
        let task = self
            .poll_workflow_task(poll)
            .await
            .map_err(at("PollWorkflowTaskQueue"))?;
        if task.task_token.is_empty() {
            return Err(CanaryError::NoTask(limit));
        }
        if task.workflow_execution.as_ref() != Some(&execution) {
            return Err(CanaryError::Stranger);
        }
        let complete = CompleteWorkflowTask {
            task_token: task.task_token,
            commands: vec![Command {
                command_type: COMPLETE_WORKFLOW,
                complete_workflow: Some(Nothing {}),
            }],
            identity: IDENTITY.into(),
            namespace: namespace.to_owned(),
        };
        self.complete_workflow_task(complete)
            .await
            .map_err(at("RespondWorkflowTaskCompleted"))?;
        let began = Instant::now();
        loop {
            let request = DescribeWorkflow {
                namespace: namespace.to_owned(),
                execution: Some(execution.clone()),
            };
            let described = self
                .describe_workflow(request)
                .await
                .map_err(at("DescribeWorkflowExecution"))?;
            let status = described.info.map_or(0, |info| info.status);
            if status == COMPLETED {
                return Ok(());
            }
            if began.elapsed() >= limit {
                return Err(CanaryError::Open(status, limit));
            }
            tokio::time::sleep(REST).await;
        }
    }
}
