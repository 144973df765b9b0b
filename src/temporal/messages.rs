//! Messages as their `.proto` files have them; fields that nobody reads are left out.

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HealthRequest {
    #[prost(string, tag = "1")]
    pub(crate) service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HealthResponse {
    #[prost(enumeration = "Status", tag = "1")]
    pub(crate) status: i32,
}

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Status {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

impl Status {
    /// As grpc prints it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Status::Unknown => "UNKNOWN",
            Status::Serving => "SERVING",
            Status::NotServing => "NOT_SERVING",
            Status::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Nothing {}

/// The answer of `GetSystemInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SystemInfo {
    #[prost(string, tag = "1")]
    pub(crate) server_version: String,
}

/// `temporal.api.version.v1.ReleaseInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReleaseInfo {
    #[prost(string, tag = "1")]
    pub(crate) version: String,
}

/// `temporal.api.version.v1.Alert`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Alert {
    #[prost(string, tag = "1")]
    pub(crate) message: String,
}

/// What upstream's version service told the cluster; absent where it was never asked.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct VersionInfo {
    #[prost(message, optional, tag = "2")]
    pub(crate) recommended: Option<ReleaseInfo>,
    #[prost(string, tag = "3")]
    pub(crate) instructions: String,
    #[prost(message, repeated, tag = "4")]
    pub(crate) alerts: Vec<Alert>,
}

/// The answer of `GetClusterInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ClusterInfo {
    #[prost(string, tag = "2")]
    pub(crate) server_version: String,
    #[prost(string, tag = "3")]
    pub(crate) cluster_id: String,
    #[prost(message, optional, tag = "4")]
    pub(crate) version_info: Option<VersionInfo>,
    #[prost(string, tag = "5")]
    pub(crate) cluster_name: String,
    #[prost(int32, tag = "6")]
    pub(crate) history_shard_count: i32,
    #[prost(string, tag = "7")]
    pub(crate) persistence_store: String,
    #[prost(string, tag = "8")]
    pub(crate) visibility_store: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DescribeCluster {
    /// Empty: the cluster that answers.
    #[prost(string, tag = "1")]
    pub(crate) cluster_name: String,
}

/// The answer of AdminService's `DescribeCluster`; what `GetClusterInfo` says as well is left to that.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ClusterDescribed {
    #[prost(message, optional, tag = "3")]
    pub(crate) membership_info: Option<MembershipInfo>,
}

/// `temporal.server.api.cluster.v1.MembershipInfo`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MembershipInfo {
    #[prost(message, repeated, tag = "3")]
    pub(crate) rings: Vec<RingInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RingInfo {
    #[prost(string, tag = "1")]
    pub(crate) role: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) members: Vec<HostInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HostInfo {
    /// `ADDRESS:PORT` of the role's gRPC.
    #[prost(string, tag = "1")]
    pub(crate) identity: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DescribeHistoryHost {
    #[prost(string, tag = "1")]
    pub(crate) host_address: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HistoryHost {
    #[prost(int32, repeated, tag = "2")]
    pub(crate) shard_ids: Vec<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListClusters {
    #[prost(int32, tag = "1")]
    pub(crate) page_size: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Clusters {
    #[prost(message, repeated, tag = "1")]
    pub(crate) clusters: Vec<ClusterMetadata>,
}

/// `temporal.server.api.persistence.v1.ClusterMetadata`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ClusterMetadata {
    #[prost(string, tag = "1")]
    pub(crate) cluster_name: String,
    #[prost(bool, tag = "10")]
    pub(crate) is_connection_enabled: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DescribeNamespace {
    #[prost(string, tag = "1")]
    pub(crate) namespace: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NamespaceDescribed {
    #[prost(message, optional, tag = "1")]
    pub(crate) info: Option<NamespaceInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NamespaceInfo {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// 1 registered, 2 deprecated, 3 deleted.
    #[prost(int32, tag = "2")]
    pub(crate) state: i32,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct Span {
    #[prost(int64, tag = "1")]
    pub(crate) seconds: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Name {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

/// `temporal.api.common.v1.WorkflowExecution`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Execution {
    #[prost(string, tag = "1")]
    pub(crate) workflow_id: String,
    #[prost(string, tag = "2")]
    pub(crate) run_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StartWorkflow {
    #[prost(string, tag = "1")]
    pub(crate) namespace: String,
    #[prost(string, tag = "2")]
    pub(crate) workflow_id: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) workflow_type: Option<Name>,
    #[prost(message, optional, tag = "4")]
    pub(crate) task_queue: Option<Name>,
    #[prost(message, optional, tag = "6")]
    pub(crate) workflow_execution_timeout: Option<Span>,
    #[prost(string, tag = "9")]
    pub(crate) identity: String,
    #[prost(string, tag = "10")]
    pub(crate) request_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WorkflowStarted {
    #[prost(string, tag = "1")]
    pub(crate) run_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PollWorkflowTask {
    #[prost(string, tag = "1")]
    pub(crate) namespace: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) task_queue: Option<Name>,
    #[prost(string, tag = "3")]
    pub(crate) identity: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WorkflowTask {
    /// Empty: no task came within the poll's time.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) task_token: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub(crate) workflow_execution: Option<Execution>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CompleteWorkflowTask {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) task_token: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) commands: Vec<Command>,
    #[prost(string, tag = "3")]
    pub(crate) identity: String,
    #[prost(string, tag = "9")]
    pub(crate) namespace: String,
}

/// COMMAND_TYPE_COMPLETE_WORKFLOW_EXECUTION.
pub(crate) const COMPLETE_WORKFLOW: i32 = 4;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Command {
    #[prost(int32, tag = "1")]
    pub(crate) command_type: i32,
    /// Of a `oneof`, which is the same on the wire.
    #[prost(message, optional, tag = "4")]
    pub(crate) complete_workflow: Option<Nothing>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DescribeWorkflow {
    #[prost(string, tag = "1")]
    pub(crate) namespace: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) execution: Option<Execution>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WorkflowDescribed {
    #[prost(message, optional, tag = "2")]
    pub(crate) info: Option<WorkflowInfo>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct WorkflowInfo {
    /// 1 running, 2 completed, 3 failed, 4 canceled, 5 terminated, 6 continued as new, 7 timed out.
    #[prost(int32, tag = "5")]
    pub(crate) status: i32,
}
