//! The bookkeeping: `schema_version` and `schema_update_history`, as Temporal's plugins make and write them.

use crate::database::Engine;

/// Text as SQL.
pub(super) fn text(value: &str, engine: Engine) -> String {
    let value = value.replace('\'', "''");
    match engine {
        Engine::Mysql => format!("'{}'", value.replace('\\', "\\\\")),
        Engine::Postgres | Engine::Sqlite | Engine::Cassandra => format!("'{value}'"),
    }
}

pub(super) fn tables(engine: Engine) -> String {
    let time = match engine {
        Engine::Postgres => "TIMESTAMP",
        Engine::Mysql | Engine::Sqlite | Engine::Cassandra => "DATETIME(6)",
    };
    format!(
        "CREATE TABLE IF NOT EXISTS schema_version(version_partition INT not null, \
         db_name VARCHAR(255) not null, creation_time {time}, curr_version VARCHAR(64), \
         min_compatible_version VARCHAR(64), PRIMARY KEY (version_partition, db_name));\n\
         CREATE TABLE IF NOT EXISTS schema_update_history(version_partition INT not null, year int not null, \
         month int not null, update_time {time} not null, description VARCHAR(255), manifest_md5 VARCHAR(64), \
         new_version VARCHAR(64), old_version VARCHAR(64), PRIMARY KEY (version_partition, year, month, update_time));\n"
    )
}

/// A version that was reached.
pub(super) struct Record<'a> {
    pub(super) db_name: &'a str,
    pub(super) old: &'a str,
    pub(super) new: &'a str,
    pub(super) min: &'a str,
    pub(super) md5: &'a str,
    pub(super) description: &'a str,
}

impl Record<'_> {
    /// What stands in new version tables.
    pub(super) fn initial(db_name: &str) -> Record<'_> {
        Record {
            db_name,
            old: "0",
            new: "0.0",
            min: "0.0",
            md5: "",
            description: "initial version",
        }
    }

    pub(super) fn sql(&self, engine: Engine) -> String {
        // SQLite: as that plugin's driver writes a time.
        let (now, year, month) = match engine {
            Engine::Postgres => (
                "clock_timestamp() AT TIME ZONE 'UTC'",
                "extract(year FROM t)::int",
                "extract(month FROM t)::int",
            ),
            Engine::Mysql => ("UTC_TIMESTAMP(6)", "YEAR(t)", "MONTH(t)"),
            Engine::Sqlite | Engine::Cassandra => (
                "strftime('%Y-%m-%d %H:%M:%f', 'now') || ' +0000 UTC'",
                "CAST(substr(t, 1, 4) AS INT)",
                "CAST(substr(t, 6, 2) AS INT)",
            ),
        };
        let conflict = match engine {
            Engine::Postgres | Engine::Sqlite | Engine::Cassandra => {
                "ON CONFLICT (version_partition, db_name) DO UPDATE SET"
            }
            Engine::Mysql => "ON DUPLICATE KEY UPDATE",
        };
        let new_row = |column: &str| match engine {
            Engine::Postgres | Engine::Sqlite | Engine::Cassandra => format!("{column}=excluded.{column}"),
            Engine::Mysql => format!("{column}=VALUES({column})"),
        };
        let text = |value: &str| text(value, engine);
        format!(
            "INSERT INTO schema_version(version_partition, db_name, creation_time, curr_version, min_compatible_version)
  VALUES (0, {name}, {now}, {new}, {min})
  {conflict} {time_set}, {version_set}, {min_set};
INSERT INTO schema_update_history(version_partition, year, month, update_time, old_version, new_version, manifest_md5, description)
  SELECT 0, {year}, {month}, t, {old}, {new}, {md5}, {description} FROM (SELECT {now} AS t) AS moment;
",
            name = text(self.db_name),
            old = text(self.old),
            new = text(self.new),
            min = text(self.min),
            md5 = text(self.md5),
            description = text(self.description),
            time_set = new_row("creation_time"),
            version_set = new_row("curr_version"),
            min_set = new_row("min_compatible_version"),
        )
    }
}
