//! For tests: frontends of a cluster that is as well or as sick as a test wants it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_prost::ProstCodec;

use super::messages::{
    ClusterDescribed, ClusterInfo, ClusterMetadata, Clusters, CompleteWorkflowTask, DescribeCluster,
    DescribeHistoryHost, DescribeNamespace, DescribeWorkflow, Execution, HistoryHost, HostInfo, ListClusters,
    MembershipInfo, NamespaceDescribed, NamespaceInfo, Nothing, PollWorkflowTask, ReleaseInfo, RingInfo, StartWorkflow,
    SystemInfo, VersionInfo, WorkflowDescribed, WorkflowInfo, WorkflowStarted, WorkflowTask,
};

/// What one frontend says; a test changes it while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Says {
    pub(crate) version: String,
    /// Role and members.
    pub(crate) rings: BTreeMap<&'static str, Vec<String>>,
    /// By address of the history host.
    pub(crate) shards: BTreeMap<String, Vec<i32>>,
    pub(crate) shard_count: i32,
    pub(crate) database: bool,
    pub(crate) visibility: String,
    pub(crate) clusters: Vec<&'static str>,
    pub(crate) recommended: Option<String>,
    /// Workflow tasks reach who polls.
    pub(crate) matching: bool,
    /// What becomes of a workflow that was completed.
    pub(crate) closes: bool,
    /// Canaries that came through.
    pub(crate) sang: usize,
    started: Option<Execution>,
    completed: bool,
}

impl Says {
    /// A healthy cluster of three that all do everything, with 4 shards.
    pub(crate) fn well(version: &str) -> Says {
        let members = |port: u16| -> Vec<String> { (1..=3).map(|n| format!("10.0.0.{n}:{port}")).collect() };
        let roles = [
            ("frontend", 7233),
            ("history", 7234),
            ("matching", 7235),
            ("worker", 7239),
        ];
        let shards = [vec![1, 3], vec![2], vec![4]];
        Says {
            version: version.to_owned(),
            rings: roles.into_iter().map(|(role, port)| (role, members(port))).collect(),
            shards: members(7234).into_iter().zip(shards).collect(),
            shard_count: 4,
            database: true,
            visibility: "postgres12".into(),
            clusters: vec!["active"],
            recommended: None,
            matching: true,
            closes: true,
            sang: 0,
            started: None,
            completed: false,
        }
    }
}

/// Ends with its drop.
pub(crate) struct Fake {
    pub(crate) address: String,
    says: Arc<Mutex<Says>>,
    health: tonic_health::server::HealthReporter,
    task: tokio::task::JoinHandle<()>,
}

impl Fake {
    pub(crate) async fn start(says: Says) -> Fake {
        let (health, service) = tonic_health::server::health_reporter();
        health.set_service_status(Workflow::NAME, ServingStatus::Serving).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let address = listener.local_addr().expect("address").to_string();
        let says = Arc::new(Mutex::new(says));
        let router = tonic::transport::Server::builder()
            .add_service(service)
            .add_service(Workflow(Arc::clone(&says)))
            .add_service(Admin(Arc::clone(&says)));
        let incoming = futures_util::stream::unfold(listener, |listener| async move {
            let accepted = listener.accept().await.map(|(stream, _)| stream);
            Some((accepted, listener))
        });
        let task = tokio::spawn(async move {
            router.serve_with_incoming(incoming).await.expect("serve");
        });
        Fake {
            address,
            says,
            health,
            task,
        }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Says)) {
        change(&mut self.says.lock().expect("says"));
    }

    pub(crate) fn sang(&self) -> usize {
        self.says.lock().expect("says").sang
    }

    pub(crate) async fn serving(&self, serving: bool) {
        let status = if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        };
        self.health.set_service_status(Workflow::NAME, status).await;
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Answer<A> = Result<A, tonic::Status>;
type Response = http::Response<Body>;

/// One call: from its request to its answer.
struct Call<F, Q>(F, PhantomData<Q>);

impl<F, Q, A> Service<tonic::Request<Q>> for Call<F, Q>
where
    F: Fn(Q) -> Answer<A> + Send,
    Q: Send + 'static,
    A: Send + 'static,
{
    type Response = tonic::Response<A>;
    type Error = tonic::Status;
    type Future = BoxFuture<tonic::Response<A>, tonic::Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), tonic::Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<Q>) -> Self::Future {
        let answer = (self.0)(request.into_inner()).map(tonic::Response::new);
        Box::pin(std::future::ready(answer))
    }
}

async fn answer<Q, A>(request: http::Request<Body>, call: impl Fn(Q) -> Answer<A> + Send) -> Response
where
    Q: prost::Message + Default + Send + 'static,
    A: prost::Message + Send + 'static,
{
    let mut grpc = tonic::server::Grpc::new(ProstCodec::<A, Q>::default());
    grpc.unary(Call(call, PhantomData), request).await
}

fn away() -> tonic::Status {
    tonic::Status::unavailable("no usable database connection found")
}

macro_rules! service {
    ($name:ident, $path:literal, $own:ident, $request:ident, $method:ident => $body:expr) => {
        #[derive(Clone)]
        struct $name(Arc<Mutex<Says>>);

        impl NamedService for $name {
            const NAME: &'static str = $path;
        }

        impl Service<http::Request<Body>> for $name {
            type Response = Response;
            type Error = Infallible;
            type Future = BoxFuture<Response, Infallible>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, $request: http::Request<Body>) -> Self::Future {
                let $own = Arc::clone(&self.0);
                Box::pin(async move {
                    let path = $request.uri().path().to_owned();
                    let $method = path.rsplit('/').next().unwrap_or_default();
                    Ok($body)
                })
            }
        }
    };
}

service!(Admin, "temporal.server.api.adminservice.v1.AdminService", own, request, method => {
    match method {
        "DescribeCluster" => answer(request, |_: DescribeCluster| own.lock().expect("says").describe()).await,
        "DescribeHistoryHost" => answer(request, |asked: DescribeHistoryHost| own.lock().expect("says").history(&asked)).await,
        "ListClusters" => answer(request, |_: ListClusters| own.lock().expect("says").clusters()).await,
        _ => answer(request, |_: Nothing| Err::<Nothing, _>(tonic::Status::unimplemented("not here"))).await,
    }
});

service!(Workflow, "temporal.api.workflowservice.v1.WorkflowService", own, request, method => {
    match method {
        "GetSystemInfo" => answer(request, |_: Nothing| {
            Ok(SystemInfo { server_version: own.lock().expect("says").version.clone() })
        }).await,
        "GetClusterInfo" => answer(request, |_: Nothing| own.lock().expect("says").info()).await,
        "DescribeNamespace" => answer(request, |asked: DescribeNamespace| own.lock().expect("says").namespace(&asked)).await,
        "StartWorkflowExecution" => answer(request, |asked: StartWorkflow| own.lock().expect("says").start(asked)).await,
        "PollWorkflowTaskQueue" => answer(request, |asked: PollWorkflowTask| own.lock().expect("says").poll(&asked)).await,
        "RespondWorkflowTaskCompleted" => {
            answer(request, |asked: CompleteWorkflowTask| own.lock().expect("says").complete(&asked)).await
        }
        "DescribeWorkflowExecution" => answer(request, |asked: DescribeWorkflow| own.lock().expect("says").workflow(&asked)).await,
        _ => answer(request, |_: Nothing| Err::<Nothing, _>(tonic::Status::unimplemented("not here"))).await,
    }
});

impl Says {
    fn up(&self) -> Answer<()> {
        self.database.then_some(()).ok_or_else(away)
    }

    fn describe(&self) -> Answer<ClusterDescribed> {
        self.up()?;
        let host = |identity: &String| HostInfo {
            identity: identity.clone(),
        };
        let rings = self.rings.iter().map(|(role, members)| RingInfo {
            role: (*role).to_owned(),
            members: members.iter().map(host).collect(),
        });
        Ok(ClusterDescribed {
            membership_info: Some(MembershipInfo { rings: rings.collect() }),
        })
    }

    fn info(&self) -> Answer<ClusterInfo> {
        self.up()?;
        Ok(ClusterInfo {
            server_version: self.version.clone(),
            cluster_id: "id-1".into(),
            version_info: self.recommended.clone().map(|version| VersionInfo {
                recommended: Some(ReleaseInfo { version }),
                ..VersionInfo::default()
            }),
            cluster_name: "active".into(),
            history_shard_count: self.shard_count,
            persistence_store: "postgres12".into(),
            visibility_store: self.visibility.clone(),
        })
    }

    fn history(&self, asked: &DescribeHistoryHost) -> Answer<HistoryHost> {
        match self.shards.get(&asked.host_address) {
            Some(shard_ids) => Ok(HistoryHost {
                shard_ids: shard_ids.clone(),
            }),
            None => Err(tonic::Status::unavailable("connection refused")),
        }
    }

    fn clusters(&self) -> Answer<Clusters> {
        self.up()?;
        let one = |name: &&str| ClusterMetadata {
            cluster_name: (*name).to_owned(),
            is_connection_enabled: true,
        };
        Ok(Clusters {
            clusters: self.clusters.iter().map(one).collect(),
        })
    }

    fn namespace(&self, asked: &DescribeNamespace) -> Answer<NamespaceDescribed> {
        self.up()?;
        let state = match asked.namespace.as_str() {
            "canary" => 1,
            "gone" => 3,
            _ => return Err(tonic::Status::not_found("Namespace is not found.")),
        };
        Ok(NamespaceDescribed {
            info: Some(NamespaceInfo {
                name: asked.namespace.clone(),
                state,
            }),
        })
    }

    fn start(&mut self, asked: StartWorkflow) -> Answer<WorkflowStarted> {
        self.up()?;
        // As the server does it.
        if asked.request_id.is_empty() || asked.workflow_type.is_none_or(|name| name.name.is_empty()) {
            return Err(tonic::Status::invalid_argument("not set on request"));
        }
        let run_id = "run-1".to_owned();
        self.completed = false;
        self.started = Some(Execution {
            workflow_id: asked.workflow_id,
            run_id: run_id.clone(),
        });
        Ok(WorkflowStarted { run_id })
    }

    fn poll(&self, asked: &PollWorkflowTask) -> Answer<WorkflowTask> {
        let queue = asked.task_queue.as_ref().map(|queue| queue.name.as_str());
        let ours = self.started.as_ref().map(|started| started.workflow_id.as_str());
        if !self.matching || queue != ours {
            return Ok(WorkflowTask::default());
        }
        Ok(WorkflowTask {
            task_token: b"token".to_vec(),
            workflow_execution: self.started.clone(),
        })
    }

    fn complete(&mut self, asked: &CompleteWorkflowTask) -> Answer<Nothing> {
        if asked.task_token != b"token" || asked.commands.len() != 1 {
            return Err(tonic::Status::invalid_argument("bad token"));
        }
        self.completed = true;
        Ok(Nothing {})
    }

    fn workflow(&mut self, asked: &DescribeWorkflow) -> Answer<WorkflowDescribed> {
        if asked.execution != self.started {
            return Err(tonic::Status::not_found("workflow not found"));
        }
        let done = self.completed && self.closes;
        self.sang += usize::from(done);
        Ok(WorkflowDescribed {
            info: Some(WorkflowInfo {
                status: if done { 2 } else { 1 },
            }),
        })
    }
}
