//! Looks and waits on frontends that are well, and on each way to be sick.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use indexmap::IndexMap;
use serde_json::{Value as Json, json};

use super::KIND;
use crate::event::Segment;
use crate::id::HostName;
use crate::job::Tunnel;
use crate::kind::trial::{Host, Place};
use crate::kind::{Action, BoxFuture, Changing, Done, Failure, Job, Output, Probe, Reading};
use crate::template::{Binding, Layer, Peers, Scope};
use crate::temporal::fake::{Fake, Says};
use crate::temporal::{Address, Peer};
use crate::tls::{Tls, Verify};

/// Hosts h1, h2 … of a playbook, each with a frontend.
struct Cluster {
    fakes: Vec<Fake>,
    place: Place,
    host: Host,
    /// What the script of a host prints; a host that is not here is not in the run.
    hosts: IndexMap<String, String>,
    said: Mutex<Vec<String>>,
}

struct Others(IndexMap<String, Scope>);

impl Peers for Others {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn scope(&self, host: &str) -> Option<Scope> {
        self.0.get(host).cloned()
    }

    fn select(&self, pattern: Option<&str>) -> Result<Vec<String>, String> {
        let Some(pattern) = pattern else {
            return Ok(self.names());
        };
        pattern
            .split(',')
            .map(|name| match self.0.contains_key(name) {
                true => Ok(name.to_owned()),
                false => Err(format!("`{name}` matches no host")),
            })
            .collect()
    }
}

impl Cluster {
    async fn of(says: Vec<Says>) -> Cluster {
        let mut fakes = Vec::new();
        for says in says {
            fakes.push(Fake::start(says).await);
        }
        let host = Host::new();
        let mut place = Place::new("swap", host.folder.path());
        let named = |(index, fake): (usize, &Fake)| {
            let name = format!("h{}", index + 1);
            let layer = Layer::from([
                ("inventory_hostname".to_owned(), Binding::Data(name.clone().into())),
                ("ansible_host".to_owned(), Binding::Data(fake.address.clone().into())),
            ]);
            let scope = Scope {
                layers: vec![Arc::new(layer)],
                peers: None,
            };
            (name, scope)
        };
        let scopes: IndexMap<String, Scope> = fakes.iter().enumerate().map(named).collect();
        let hosts = scopes.keys().map(|name| (name.clone(), running("1.29.7"))).collect();
        place.scope.peers = Some(Arc::new(Others(scopes)));
        Cluster {
            fakes,
            place,
            host,
            hosts,
            said: Mutex::default(),
        }
    }

    async fn well() -> Cluster {
        Cluster::of(vec![Says::well("1.29.7"); 3]).await
    }

    async fn run(&self, given: &Json) -> Result<Done, Failure> {
        let Action::Drive(action) = self.place.action(&KIND, given) else {
            panic!("it drives");
        };
        assert!(action.reads_only());
        action.apply(self).await
    }

    async fn look(&self) -> Json {
        match self.run(&json!({})).await {
            Ok(done) => done.result,
            Err(failure) => panic!("{}", failure.message),
        }
    }

    /// What a wait saw at its end.
    async fn sees(&self, given: Json) -> String {
        match self.run(&given).await {
            Ok(done) => done.result["seen"].as_str().expect("seen").to_owned(),
            Err(failure) => panic!("{given}: {}", failure.message),
        }
    }

    /// Why a wait did not end well.
    async fn sick(&self, mut given: Json) -> Failure {
        given["within"] = "1s".into();
        match self.run(&given).await {
            Ok(done) => panic!("{given} is well: {}", done.result),
            Err(failure) => failure,
        }
    }
}

fn running(version: &str) -> String {
    format!(
        "pid\t7\nexe\t/opt/temporal-server\nversion\ttemporal version {version}\ncommand\t/opt/temporal-server start\n\
         services\t\nprogram\t/opt/temporal-server\ndisk\ttemporal version {version}\n"
    )
}

impl Reading for Cluster {
    fn probe<'a>(&'a self, probe: &'a Probe) -> BoxFuture<'a, Result<Output, Failure>> {
        Box::pin(async { Ok(self.host.run(&probe.script, &probe.environment)) })
    }

    fn probe_on<'a>(&'a self, host: &'a str, _: &'a Probe) -> BoxFuture<'a, Result<Output, Failure>> {
        Box::pin(async move {
            match self.hosts.get(host) {
                Some(stdout) => Ok(Output {
                    rc: 0,
                    stdout: stdout.clone(),
                    stderr: String::new(),
                }),
                None => Err(Failure::new(format!("{host} is no host of this run"))),
            }
        })
    }

    fn tunnel<'a>(&'a self, _: Option<&'a HostName>, _: &'a str, _: u16) -> BoxFuture<'a, Result<Tunnel, Failure>> {
        Box::pin(async { Ok(Tunnel::direct()) })
    }

    fn progress(&self, text: &str) {
        self.said.lock().expect("said").push(text.to_owned());
    }

    fn cancelled(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn terminal(&self) -> bool {
        false
    }
}

impl Changing for Cluster {
    fn job<'a>(&'a self, _: &'a str, _: &'a Job) -> BoxFuture<'a, Result<Output, Failure>> {
        panic!("it changes nothing")
    }

    fn record<'a>(&'a self, _: Segment) -> BoxFuture<'a, Result<(), Failure>> {
        panic!("it changes nothing")
    }

    fn segments(&self) -> Vec<Segment> {
        Vec::new()
    }

    fn tag(&self) -> &str {
        "run-1.0123456789abcdef.1"
    }

    fn reading(&self) -> &dyn Reading {
        self
    }
}

fn warnings(result: &Json) -> String {
    let list = result["warnings"].as_array().expect("warnings");
    list.iter().filter_map(Json::as_str).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_look_at_a_cluster_that_is_well() {
    let cluster = Cluster::well().await;
    let result = cluster.look().await;
    assert_eq!(result["version"], "1.29.7");
    assert_eq!(result["versions"]["h2"]["frontend"], "1.29.7");
    assert_eq!(result["versions"]["h2"]["running"], "1.29.7");
    assert_eq!(result["versions"]["h2"]["disk"], "1.29.7");
    assert_eq!(
        result["rings"]["h3"]["history"],
        json!(["10.0.0.1:7234", "10.0.0.2:7234", "10.0.0.3:7234"])
    );
    let shards = json!({
        "configured": 4, "owned": 4, "complete": true, "text": "shards: 4 of 4 owned",
        "hosts": {"10.0.0.1:7234": 2, "10.0.0.2:7234": 1, "10.0.0.3:7234": 1},
    });
    assert_eq!(result["shards"], shards);
    assert_eq!(
        result["stores"],
        json!({"default": "postgres12", "visibility": "postgres12", "configured": {}})
    );
    assert_eq!(result["cluster"], json!({"id": "id-1", "name": "active", "others": []}));
    assert_eq!(result["newer"]["newest"], "1.32.2");
    assert_eq!(result["path"], json!([]));
    assert_eq!(warnings(&result), "");
}

#[tokio::test]
async fn a_look_gives_the_path() {
    let cluster = Cluster::well().await;
    let done = cluster.run(&json!({"to": "1.31.5"})).await.expect("a path");
    let hops: Vec<&str> = done.result["path"]
        .as_array()
        .expect("path")
        .iter()
        .filter_map(|hop| hop["to"].as_str())
        .collect();
    assert_eq!(hops, ["1.30.9", "1.31.5"]);
    assert_eq!(
        done.result["path"][0]["needs"],
        json!({"default": "1.18", "visibility": "1.13"})
    );
    let failure = cluster.run(&json!({"to": "1.28.4"})).await.expect_err("a downgrade");
    assert!(failure.message.contains("1.28.4"), "{}", failure.message);
    // What was seen is there all the same.
    assert_eq!(failure.result["version"], "1.29.7");
}

#[tokio::test]
async fn mixed_versions_are_said_and_the_lowest_counts() {
    let mut cluster = Cluster::well().await;
    cluster.fakes[0].change(|says| says.version = "1.30.6".into());
    cluster.hosts.insert("h1".into(), running("1.30.6"));
    let done = cluster.run(&json!({"to": "1.30.9"})).await.expect("a path");
    assert_eq!(done.result["version"], "1.29.7");
    assert!(
        warnings(&done.result).contains("mixed versions: 1.29.7 on h2, h3; 1.30.6 on h1"),
        "{}",
        warnings(&done.result)
    );
    // A host whose program was flipped and not started again.
    cluster.hosts.insert(
        "h2".into(),
        running("1.29.7").replace("disk\ttemporal version 1.29.7", "disk\ttemporal version 1.30.6"),
    );
    let found = warnings(&cluster.look().await);
    assert!(
        found.contains("h2: 1.30.6 is on disk and 1.29.7 runs: not restarted yet"),
        "{found}"
    );
}

#[tokio::test]
async fn what_refit_cannot_upgrade_is_refused_by_name_and_shown_all_the_same() {
    let change = |change: fn(&mut Says)| {
        let mut says = vec![Says::well("1.29.7"); 3];
        says.iter_mut().for_each(change);
        says
    };
    type Change = fn(&mut Says);
    let cases: [(Change, &str); 2] = [
        (
            |says| says.visibility = "postgres12,elasticsearch".into(),
            "two visibility stores (postgres12,elasticsearch)",
        ),
        (|says| says.clusters = vec!["active", "west"], "connected with west"),
    ];
    for (sick, words) in cases {
        let cluster = Cluster::of(change(sick)).await;
        let failure = cluster.run(&json!({"to": "1.30.9"})).await.expect_err("refused");
        assert!(failure.message.contains(words), "{}", failure.message);
        assert!(warnings(&cluster.look().await).contains(words));
    }
    let mut cluster = Cluster::of(change(|says| says.version = "0.29.0".into())).await;
    cluster.hosts.clear();
    let failure = cluster.run(&json!({"to": "1.30.9"})).await.expect_err("too old");
    for words in ["h1, h2, h3 runs 0.29.0, older than 1.0.0", "community forum"] {
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    let cluster = Cluster::of(change(|says| says.visibility = "elasticsearch".into())).await;
    let found = warnings(&cluster.look().await);
    assert!(found.contains("visibility is in elasticsearch"), "{found}");
}

#[tokio::test]
async fn a_newer_version_is_said_by_upstream_too() {
    let mut says = vec![Says::well("1.29.7"); 3];
    says.iter_mut()
        .for_each(|says| says.recommended = Some("1.33.0".into()));
    let newer = Cluster::of(says).await.look().await["newer"].clone();
    assert_eq!(newer["recommended"], "1.33.0");
    assert!(
        newer["text"]
            .as_str()
            .is_some_and(|text| text.ends_with("upstream recommends 1.33.0")),
        "{newer}"
    );
    // What was recommended before the upgrade stands there for a day.
    let mut says = vec![Says::well("1.32.2"); 3];
    says.iter_mut()
        .for_each(|says| says.recommended = Some("1.32.1".into()));
    let mut cluster = Cluster::of(says).await;
    cluster.hosts.clear();
    let newer = cluster.look().await["newer"].clone();
    assert_eq!(
        newer,
        json!({"patch": null, "newest": null, "recommended": null, "text": "none (catalog of 2026-11-24)"})
    );
}

#[tokio::test]
async fn a_look_with_all_servers_down_goes_by_the_disk() {
    let mut cluster = Cluster::well().await;
    cluster.fakes.clear();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let on_disk = "none\troot\nprogram\t/opt/temporal-server\ndisk\ttemporal version 1.30.6\n";
    for says in cluster.hosts.values_mut() {
        *says = on_disk.to_owned();
    }
    let result = cluster.look().await;
    assert_eq!(result["version"], "1.30.6");
    let found = warnings(&result);
    for words in [
        "no server runs",
        "h1: its frontend does not answer: Connection refused",
        "h2: no server process that root may see",
    ] {
        assert!(found.contains(words), "{found}");
    }
    cluster.hosts.clear();
    let failure = cluster.run(&json!({})).await.expect_err("nothing is known");
    assert!(failure.message.contains("no frontend answers"), "{}", failure.message);
}

#[tokio::test]
async fn a_host_without_a_frontend_is_not_missed() {
    let mut cluster = Cluster::well().await;
    cluster.fakes.pop();
    cluster.hosts.insert(
        "h3".into(),
        running("1.29.7").replace("-server start", "-server start --service history"),
    );
    let result = cluster.look().await;
    assert!(!warnings(&result).contains("h3: its frontend"), "{}", warnings(&result));
    assert_eq!(result["versions"]["h3"]["roles"], json!(["history"]));
    let split = json!({"roles": {"frontend": "h1,h2", "history": "h1,h2,h3", "matching": "h1,h2,h3", "worker": "h1,h2,h3"}, "rings": "complete"});
    let failure = cluster.sick(split.clone()).await;
    assert!(failure.message.contains("frontend 3 of 2"), "{}", failure.message);
    for fake in &cluster.fakes {
        fake.change(|says| says.rings.get_mut("frontend").expect("ring").truncate(2));
    }
    assert_eq!(
        cluster.sees(split).await,
        "every frontend serves; rings complete: frontend 2, history 3, matching 3, worker 3"
    );
}

#[tokio::test]
async fn all_that_is_waited_for_is_there() {
    let cluster = Cluster::well().await;
    let given = json!({"rings": "complete", "shards": "complete", "version": "v1.29.7", "canary": "canary", "stable_for": "2s", "within": "20s"});
    assert_eq!(
        cluster.sees(given).await,
        "every frontend serves; version 1.29.7; rings complete: frontend 3, history 3, matching 3, worker 3; \
         shards: 4 of 4 owned; a workflow in `canary` was started and finished"
    );
    // Through each frontend, and not for each sample.
    assert_eq!(cluster.fakes.iter().map(Fake::sang).collect::<Vec<_>>(), [1, 1, 1]);
}

#[tokio::test]
async fn serving_alone_is_not_enough() {
    let cluster = Cluster::well().await;
    cluster.fakes[1].change(|says| says.database = false);
    let given = json!({"version": "1.29.7"});
    let failure = cluster.sick(given.clone()).await;
    assert_eq!(
        failure.message,
        "waited for temporal: version 1.29.7: the last answer was h2: DescribeCluster UNAVAILABLE: \
         no usable database connection found; no time left of 1s"
    );
    // The same frontend says SERVING and its version all that time.
    let address = Address {
        at: cluster.fakes[1].address.clone(),
        tls: Tls::new(Verify::None),
        name: None,
    };
    let mut peer = Peer::connect(&address, None, Duration::from_secs(1))
        .await
        .expect("peer");
    let service = crate::temporal::trial::FRONTEND;
    assert_eq!(
        peer.health(service).await.expect("health"),
        crate::temporal::Status::Serving
    );
    assert_eq!(peer.temporal_version().await.expect("version"), "1.29.7");
    cluster.fakes[1].change(|says| says.database = true);
    cluster.sees(given.clone()).await;
    cluster.fakes[1].serving(false).await;
    assert!(cluster.sick(given).await.message.contains("h2: NOT_SERVING"));
}

#[tokio::test]
async fn each_way_to_be_sick_is_seen() {
    type Change = fn(&mut Says);
    let cases: [(Json, Change, &str); 9] = [
        (
            json!({"rings": "complete"}),
            |says| says.rings.get_mut("worker").expect("ring").truncate(2),
            "rings: h1, h2: frontend 3 of 3, history 3 of 3, matching 3 of 3, worker 3 of 3; h3: frontend 3 of 3, history 3 of 3, matching 3 of 3, worker 2 of 3",
        ),
        (
            json!({"rings": "complete"}),
            |says| says.rings.get_mut("worker").expect("ring")[2] = "10.0.0.9:7239".into(),
            "h3: frontend 3 of 3, history 3 of 3, matching 3 of 3, worker 3 of 3 (other members)",
        ),
        (
            json!({"rings": "complete"}),
            |says| drop(says.rings.remove("matching")),
            "matching 0 of 3",
        ),
        (
            json!({"version": "1.30.6"}),
            |says| says.version = "1.30.6".into(),
            "versions: h1, h2: 1.29.7; h3: 1.30.6",
        ),
        (
            json!({"canary": "nowhere"}),
            |_| {},
            "canary through h1: DescribeNamespace: NOT_FOUND: Namespace is not found.",
        ),
        (
            json!({"canary": "gone"}),
            |_| {},
            "canary through h1: namespace `gone` is deprecated or deleted",
        ),
        (
            json!({"canary": "canary"}),
            |says| says.matching = false,
            "canary through h3: no workflow task came",
        ),
        (
            json!({"canary": "canary"}),
            |says| says.closes = false,
            "canary through h3: the workflow is not completed after 1 s: running",
        ),
        (
            json!({"rings": "complete", "canary": "canary"}),
            |says| says.rings.clear(),
            "canary: not sent yet",
        ),
    ];
    for (given, change, words) in cases {
        let cluster = Cluster::well().await;
        cluster.fakes[2].change(change);
        let failure = cluster.sick(given.clone()).await;
        assert!(failure.message.contains(words), "{given}: {}", failure.message);
    }
    // Shards are told through the first frontend.
    let cases: [(Change, &str); 4] = [
        (
            |says| drop(says.shards.insert("10.0.0.2:7234".into(), vec![])),
            "shards: 3 of 4 owned, owned by nobody: 2",
        ),
        (
            |says| drop(says.shards.insert("10.0.0.2:7234".into(), vec![1, 2])),
            "shards: 5 of 4 owned, owned twice: 1",
        ),
        (
            |says| drop(says.shards.remove("10.0.0.3:7234")),
            "shards: 3 of 4 owned, owned by nobody: 4, 10.0.0.3:7234: UNAVAILABLE: connection refused",
        ),
        (
            |says| says.shard_count = 512,
            "owned by nobody: 5, 6, 7, 8, 9 and 503 more",
        ),
    ];
    for (change, words) in cases {
        let cluster = Cluster::well().await;
        cluster.fakes[0].change(change);
        let failure = cluster.sick(json!({"shards": "complete"})).await;
        assert!(failure.message.contains(words), "{}", failure.message);
        assert!(warnings(&cluster.look().await).contains(words));
    }
}

#[tokio::test]
async fn a_host_in_a_ring_of_its_own_is_named() {
    let cluster = Cluster::well().await;
    cluster.fakes[2].change(|says| {
        for members in says.rings.values_mut() {
            *members = vec![members[2].clone()];
        }
        says.shards = [("10.0.0.3:7234".to_owned(), vec![1, 2, 3, 4])].into();
    });
    // The other two see three for a while: the one that split is asked all the same.
    let failure = cluster.sick(json!({"rings": "complete"})).await;
    assert_eq!(failure.result["alone"], json!(["h3"]));
    cluster.fakes[2].change(|says| *says = Says::well("1.29.7"));
    let done = cluster.run(&json!({"rings": "complete"})).await.expect("well");
    assert_eq!(done.result["alone"], json!([]));
}

#[tokio::test]
async fn a_tag_that_reports_another_version_is_known() {
    let cluster = Cluster::of(vec![Says::well("1.29.4"); 3]).await;
    let done = cluster.run(&json!({"version": "1.29.4.1"})).await.expect("well");
    let message = done.message.unwrap_or_default();
    assert!(
        message.starts_with("temporal: version 1.29.4.1 (which says 1.29.4)"),
        "{message}"
    );
    let failure = cluster.sick(json!({"version": "1.29.6.1"})).await;
    assert!(
        failure.message.contains("versions: h1, h2, h3: 1.29.4"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn a_wait_says_what_it_waits_for() {
    let cluster = Cluster::well().await;
    cluster.fakes[0].change(|says| says.rings.get_mut("history").expect("ring").truncate(1));
    let given = json!({"rings": "complete", "within": "10s", "stable_for": "1s"});
    let waits = cluster.run(&given);
    let heals = async {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        cluster.fakes[0].change(|says| *says = Says::well("1.29.7"));
    };
    let (done, ()) = tokio::join!(waits, heals);
    done.expect("well");
    let said = cluster.said.lock().expect("said").clone();
    assert!(
        said[0].starts_with("waiting for temporal: complete rings: rings: h1: frontend 3 of 3, history 1 of 3"),
        "{said:?}"
    );
    assert!(said[0].ends_with("s left"), "{said:?}");
    assert!(said.iter().any(|text| text.contains("well for 0s of 1s")), "{said:?}");
}

#[tokio::test]
async fn mistakes_are_named() {
    let cluster = Cluster::well().await;
    let cases = [
        (json!({"rings": "half"}), "`rings` cannot be `half`"),
        (json!({"hosts": "h9"}), "`h9` matches no host"),
        (json!({"port": 0}), "0 is no port"),
        (json!({"address": "a b"}), "`a b` on h1 is no HOST and no HOST:PORT"),
        (json!({"config": "etc/x.yaml"}), "must be an absolute path"),
        (json!({"address": "{{ nope }}"}), "undefined variable `nope`"),
        (json!({"databases": ["main"]}), "no database `main`"),
        (json!({"databases": ["a", "b", "c"]}), "a cluster has two databases"),
        (
            json!({"rings": "complete", "to": "1.30.9"}),
            "`to` does not go with a wait",
        ),
        (json!({"stable_for": "1m"}), "`stable_for` does not go with a look"),
        (
            json!({"rings": "complete", "stable_for": "2m"}),
            "it cannot stay well for 2m within 1m",
        ),
        (json!({"roles": {"fronted": "h1"}}), "`fronted` is no role"),
        (json!({"roles": {"history": "h1"}}), "no host has the role `frontend`"),
        (
            json!({"hosts": "h1", "roles": {"frontend": "h1,h2"}}),
            "h2 has the role `frontend` and is not among `hosts`",
        ),
        (json!({"catalog": "none.yml"}), "none.yml"),
    ];
    for (given, wanted) in cases {
        let found = cluster.place.lint(&KIND, &given);
        assert!(
            found.iter().any(|message| message.contains(wanted)),
            "{given}: {found:?}"
        );
    }
    for given in [
        json!({}),
        json!({"hosts": "h1,h2", "address": "{{ ansible_host }}", "to": "1.32"}),
        json!({"rings": "complete", "shards": "complete", "version": "1.30.6", "canary": "default", "stable_for": "30s", "within": "5m"}),
    ] {
        assert_eq!(cluster.place.lint(&KIND, &given), Vec::<String>::new(), "{given}");
    }
}

const CONFIGURATION: &str = "persistence:
  numHistoryShards: 4
  defaultStore: d
  visibilityStore: v
  datastores:
    d: { sql: { pluginName: postgres12, databaseName: temporal, connectAddr: \"db:5432\", user: t, password: canary-7 } }
    v: { sql: { pluginName: postgres12, databaseName: temporal_visibility, connectAddr: \"db:5432\", user: t, password: canary-7 } }
clusterMetadata:
  currentClusterName: active
  clusterInformation: { active: { enabled: true } }
";

#[tokio::test]
async fn the_servers_own_configuration_is_read_and_its_passwords_are_not_shown() {
    let with = |cluster: &mut Cluster, text: &str| {
        for says in cluster.hosts.values_mut() {
            *says = format!("{}config\t\n{text}", running("1.29.7"));
        }
    };
    let mut cluster = Cluster::well().await;
    with(&mut cluster, CONFIGURATION);
    let given = json!({"config": "/etc/temporal/config/lab.yaml"});
    let result = cluster.run(&given).await.expect("a look").result;
    let store = &result["stores"]["configured"]["h2"]["visibility"];
    assert_eq!(
        (&store["store"], &store["database"]),
        (&json!("postgres12"), &json!("temporal_visibility"))
    );
    assert_eq!(warnings(&result), "");
    assert!(!result.to_string().contains("canary-7"));

    let second = CONFIGURATION.replace(
        "  visibilityStore: v",
        "  visibilityStore: v\n  secondaryVisibilityStore: d",
    );
    let clusters = CONFIGURATION.replace(
        "active: { enabled: true }",
        "active: { enabled: true }, west: { enabled: true }",
    );
    for (text, words) in [
        (second.as_str(), "h1, h2, h3 has a `secondaryVisibilityStore`"),
        (
            clusters.as_str(),
            "h1, h2, h3 names several clusters in `clusterMetadata`",
        ),
    ] {
        with(&mut cluster, text);
        let mut given = given.clone();
        assert!(warnings(&cluster.run(&given).await.expect("a look").result).contains(words));
        given["to"] = "1.30.9".into();
        let failure = cluster.run(&given).await.expect_err("refused");
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    with(
        &mut cluster,
        &CONFIGURATION.replace("numHistoryShards: 4", "numHistoryShards: 512"),
    );
    let found = warnings(&cluster.run(&given).await.expect("a look").result);
    assert!(
        found.contains("numHistoryShards is 512 in the configuration, the cluster has 4"),
        "{found}"
    );
    with(&mut cluster, "a: [canary-7");
    let result = cluster.run(&given).await.expect("a look").result;
    assert!(
        warnings(&result).contains("h1, h2, h3: configuration: "),
        "{}",
        warnings(&result)
    );
    assert!(!result.to_string().contains("canary-7"), "{result}");
    // 1.30 reads its embedded template where it is told nothing.
    with(&mut cluster, CONFIGURATION);
    let mut given = given.clone();
    given["to"] = "1.30.9".into();
    let done = cluster.run(&given).await.expect("a path");
    assert!(warnings(&done.result).contains("1.30"), "{}", warnings(&done.result));
}
