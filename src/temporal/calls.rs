//! What a Temporal frontend is asked beside health and version.

use super::grpc::{GrpcError, Peer};
use super::messages::{
    ClusterDescribed, ClusterInfo, Clusters, CompleteWorkflowTask, DescribeCluster, DescribeHistoryHost,
    DescribeNamespace, DescribeWorkflow, HistoryHost, ListClusters, NamespaceDescribed, Nothing, PollWorkflowTask,
    StartWorkflow, WorkflowDescribed, WorkflowStarted, WorkflowTask,
};

macro_rules! workflow {
    ($name:literal) => {
        concat!("/temporal.api.workflowservice.v1.WorkflowService/", $name)
    };
}

macro_rules! admin {
    ($name:literal) => {
        concat!("/temporal.server.api.adminservice.v1.AdminService/", $name)
    };
}

impl Peer {
    /// Reads the cluster's metadata, so it needs the database.
    pub(crate) async fn cluster_info(&mut self) -> Result<ClusterInfo, GrpcError> {
        self.call(workflow!("GetClusterInfo"), Nothing {}).await
    }

    /// The rings as this frontend sees them. UNAVAILABLE while the database is away.
    pub(crate) async fn describe_cluster(&mut self) -> Result<ClusterDescribed, GrpcError> {
        let request = DescribeCluster {
            cluster_name: String::new(),
        };
        self.call(admin!("DescribeCluster"), request).await
    }

    /// The shards that the history host at this address (`IP:PORT` of its gRPC) owns; the frontend asks it.
    pub(crate) async fn shards_of(&mut self, address: &str) -> Result<Vec<i32>, GrpcError> {
        let request = DescribeHistoryHost {
            host_address: address.to_owned(),
        };
        let host: HistoryHost = self.call(admin!("DescribeHistoryHost"), request).await?;
        Ok(host.shard_ids)
    }

    /// This cluster, and those that it was told of.
    pub(crate) async fn clusters(&mut self) -> Result<Clusters, GrpcError> {
        self.call(admin!("ListClusters"), ListClusters { page_size: 100 }).await
    }

    pub(super) async fn describe_namespace(&mut self, namespace: &str) -> Result<NamespaceDescribed, GrpcError> {
        let request = DescribeNamespace {
            namespace: namespace.to_owned(),
        };
        self.call(workflow!("DescribeNamespace"), request).await
    }

    pub(super) async fn start_workflow(&mut self, request: StartWorkflow) -> Result<WorkflowStarted, GrpcError> {
        self.call(workflow!("StartWorkflowExecution"), request).await
    }

    pub(super) async fn poll_workflow_task(&mut self, request: PollWorkflowTask) -> Result<WorkflowTask, GrpcError> {
        self.call(workflow!("PollWorkflowTaskQueue"), request).await
    }

    pub(super) async fn complete_workflow_task(&mut self, request: CompleteWorkflowTask) -> Result<(), GrpcError> {
        let _: Nothing = self.call(workflow!("RespondWorkflowTaskCompleted"), request).await?;
        Ok(())
    }

    pub(super) async fn describe_workflow(
        &mut self,
        request: DescribeWorkflow,
    ) -> Result<WorkflowDescribed, GrpcError> {
        self.call(workflow!("DescribeWorkflowExecution"), request).await
    }
}
