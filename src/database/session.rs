//! Sessions, the same for every server.

use std::fmt;
use std::time::Duration;

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row};

use super::{Database, DatabaseError, Engine, mysql, postgres};

const CONNECT: Duration = Duration::from_secs(10);

/// One session. Statements go either through [`Session::rows`] (one, with parameters) or [`Session::simple`].
pub(crate) struct Session {
    database: Database,
    link: Link,
    id: String,
}

enum Link {
    Postgres(PgConnection),
    Mysql(MySqlConnection),
}

/// What a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) product: Product,
    /// `15.18 (Debian …)`, `8.0.31`, `10.11.18-MariaDB-0+deb12u1`.
    pub(crate) version: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    Postgres,
    Mysql,
    Mariadb,
}

impl Server {
    pub(crate) fn new(engine: Engine, version: &str) -> Server {
        let product = match engine {
            Engine::Mysql if version.contains("MariaDB") => Product::Mariadb,
            Engine::Mysql => Product::Mysql,
            Engine::Postgres | Engine::Sqlite | Engine::Cassandra => Product::Postgres,
        };
        Server {
            product,
            version: version.to_owned(),
        }
    }

    /// Major, minor and patch; what is missing counts as 0.
    pub(crate) fn numbers(&self) -> [u32; 3] {
        let mut numbers = self
            .version
            .split(|c: char| !c.is_ascii_digit())
            .map(|part| part.parse().unwrap_or(0));
        std::array::from_fn(|_| numbers.next().unwrap_or(0))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let product = match self.product {
            Product::Postgres => "PostgreSQL",
            Product::Mysql => "MySQL",
            Product::Mariadb => "MariaDB",
        };
        write!(f, "{product} {}", self.version)
    }
}

impl Session {
    /// Logs in. `tag` names the session where the server keeps such names (PostgreSQL), at most 63 bytes.
    pub(crate) async fn open(database: &Database, tag: &str) -> Result<Session, DatabaseError> {
        let connect = async {
            match database.engine {
                Engine::Mysql => mysql::connect(database).await.map(Link::Mysql),
                Engine::Postgres | Engine::Sqlite | Engine::Cassandra => {
                    postgres::connect(database, tag).await.map(Link::Postgres)
                }
            }
        };
        let link = match tokio::time::timeout(CONNECT, connect).await {
            Ok(link) => link.map_err(|e| DatabaseError::connect(database, &e))?,
            Err(_) => {
                if let Some(words) = database.trouble() {
                    return Err(DatabaseError::Unreachable {
                        label: database.label.clone(),
                        host: database.place(),
                        words,
                    });
                }
                return Err(DatabaseError::Timeout {
                    label: database.label.clone(),
                    host: database.place(),
                    seconds: CONNECT.as_secs(),
                });
            }
        };
        let mut session = Session {
            database: database.clone(),
            link,
            id: String::new(),
        };
        let id = match session.link {
            Link::Postgres(_) => "SELECT pg_backend_pid()::text",
            Link::Mysql(_) => {
                session.simple(mysql::MODE).await?;
                "SELECT CAST(CONNECTION_ID() AS CHAR)"
            }
        };
        session.id = session.value(id, &[]).await?.unwrap_or_default();
        Ok(session)
    }

    /// The server's number of this session.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Rows of one query with its parameters (`$1` or `?`) as text; every column must be text.
    pub(crate) async fn rows(&mut self, sql: &str, binds: &[&str]) -> Result<Vec<Vec<Option<String>>>, DatabaseError> {
        let sql = AssertSqlSafe(sql.to_owned());
        let rows = match &mut self.link {
            Link::Postgres(connection) => {
                let mut query = sqlx::query(sql).persistent(false);
                for bind in binds {
                    query = query.bind((*bind).to_owned());
                }
                let rows: Result<Vec<PgRow>, _> = query.fetch_all(connection).await;
                rows.and_then(|rows| rows.iter().map(texts).collect())
            }
            Link::Mysql(connection) => {
                let mut query = sqlx::query(sql).persistent(false);
                for bind in binds {
                    query = query.bind((*bind).to_owned());
                }
                let rows: Result<Vec<MySqlRow>, _> = query.fetch_all(connection).await;
                rows.and_then(|rows| rows.iter().map(texts).collect())
            }
        };
        rows.map_err(|e| DatabaseError::statement(&self.database, &e))
    }

    /// The first column of the first row.
    pub(crate) async fn value(&mut self, sql: &str, binds: &[&str]) -> Result<Option<String>, DatabaseError> {
        let rows = self.rows(sql, binds).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }

    /// Sends text as one query. PostgreSQL: several statements in it are one transaction, which the server finishes even
    /// where this process dies after sending. MySQL: each is by itself, unless the text begins and ends a transaction.
    pub(crate) async fn simple(&mut self, sql: &str) -> Result<(), DatabaseError> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        let outcome = match &mut self.link {
            Link::Postgres(connection) => query.execute(connection).await.map(drop),
            Link::Mysql(connection) => query.execute(connection).await.map(drop),
        };
        let Err(error) = outcome else { return Ok(()) };
        let error = DatabaseError::statement(&self.database, &error);
        if let (DatabaseError::Statement { code, words, .. }, Link::Mysql(connection)) = (&error, &mut self.link) {
            // A server that stops interrupts statements first.
            if ["1317", "1053"].contains(&code.as_str()) && connection.ping().await.is_err() {
                return Err(DatabaseError::Lost {
                    label: self.database.label.clone(),
                    host: self.database.place(),
                    words: words.clone(),
                });
            }
        }
        Err(error)
    }

    pub(crate) async fn server(&mut self) -> Result<Server, DatabaseError> {
        let sql = match self.link {
            Link::Postgres(_) => "SELECT current_setting('server_version')",
            Link::Mysql(_) => "SELECT VERSION()",
        };
        let version = self.value(sql, &[]).await?.unwrap_or_default();
        Ok(Server::new(self.database.engine, &version))
    }

    /// Refuses what a change must not go to.
    pub(crate) async fn refuse_unfit(&mut self) -> Result<(), DatabaseError> {
        let database = self.database.clone();
        match self.link {
            Link::Postgres(_) => postgres::refuse_unfit(self, &database).await,
            Link::Mysql(_) => mysql::refuse_unfit(self, &database).await,
        }
    }

    pub(crate) async fn close(self) {
        let close = async {
            match self.link {
                Link::Postgres(connection) => connection.close().await,
                Link::Mysql(connection) => connection.close().await,
            }
        };
        // It ends with the socket anyway.
        let _ = tokio::time::timeout(Duration::from_secs(2), close).await;
    }
}

fn texts<R: Row>(row: &R) -> Result<Vec<Option<String>>, sqlx::Error>
where
    usize: sqlx::ColumnIndex<R>,
    Option<String>: for<'r> sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    (0..row.len()).map(|i| row.try_get::<Option<String>, _>(i)).collect()
}
