#!/usr/bin/env python3
"""How fast does Skirl write to and read from Kafka, beside librdkafka's own tool, Kafka's own tool and Spark?

    benches/kafka.py                 both halves, five rounds
    benches/kafka.py produce         rows written: skirl generate, skirl load, rdkafka_performance, ProducerPerformance
    benches/kafka.py consume         rows read and aggregated: skirl query, rdkafka_performance bare, Spark if it is here
    benches/kafka.py --broker localhost:9092 --broker-pid 4711 --rounds 3 --rows 1000000

All tools write to (and read from) the same topics of the same broker, one after another, round by round, so that a slow
minute of the machine hits all of them. A ratio is taken within a round; the median of the rounds is printed. CPU is what
the system says of the client's process and of the broker's, divided by the rows. The same acks, idempotence, compression,
linger, batch size and keys (none) hold for all; they are printed. How many rows wait in its queue is each tool's own matter.

Needs: cargo, and Java 17 for the broker. rdkafka_performance is built from the sources that the crate rdkafka-sys brings,
once, into target/bench/; Kafka's tool comes by Maven, if that is here; Spark with --spark PYTHON, an interpreter that has
pyspark, and --spark-jars DIR, the jars of its connector as tests/kafka/spark_source.py names them. What is missing is said
and left out.
"""

import argparse
import glob
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BENCH = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "bench")
SKIRL = os.path.join(os.path.dirname(BENCH), "release", "skirl")
KAFKA_TOOLS = "4.3.1"
TICKS = os.sysconf("SC_CLK_TCK")

# The same for everybody. Java's names differ in the batch's size only.
SETTINGS = {
    "acks": "1",
    "enable.idempotence": "false",
    "compression.type": "none",
    "linger.ms": "5",
    "batch.size": "1000000",
}

# Rows of about 100 bytes and of about 1 KiB, each another: what `skirl generate` writes.
SCENARIO = """
title = "Rows for a benchmark"

[streams.rows]
kind = "custom"
rows = 10
batch_rows = 4096
columns = [
    {{ name = "id", type = "bigint", model = "sequence" }},
    {{ name = "district", type = "string", model = "choice", values = ["Porto", "Faro", "Lisboa", "Braga"] }},
    {{ name = "amount", type = "int", model = "uniform", min = 0, max = 9999 }},
    {{ name = "timestamp", type = "timestamp", model = "event-time" }},
{more}]

[query]
sql = "SELECT id FROM rows"
output_mode = "append"

[expect]
output_rows = "> 0"
"""

# The seed's window query over JSON rows.
SCHEMA = "district STRING, new_scotsmen INT, timestamp TIMESTAMP"
QUERY = """
SELECT window(timestamp, '3 minutes') AS w, district, count(*) AS row_count, sum(new_scotsmen) AS total
FROM scotsmen GROUP BY 1, 2
"""


def main():
    arguments = parse()
    os.makedirs(BENCH, exist_ok=True)
    run(["cargo", "build", "--release", "--offline"], cwd=ROOT)
    broker = Broker(arguments)
    try:
        print("producer: " + " ".join(f"{name}={value}" for name, value in SETTINGS.items()), flush=True)
        if arguments.what in ("produce", "all"):
            for size in (100, 1024):
                produce(arguments, broker, size)
        if arguments.what in ("consume", "all"):
            consume(arguments, broker)
    finally:
        broker.stop()


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["produce", "consume", "all"], default="all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of 100 bytes; a fifth as many of 1 KiB, five times as many to be read")
    parser.add_argument("--seconds", type=int, default=4, help="how long `skirl load` sends")
    parser.add_argument("--broker", help="host:port of a broker that is there; without, one is started")
    parser.add_argument("--broker-pid", type=int, help="its process, for its CPU")
    parser.add_argument("--spark", metavar="PYTHON", help="an interpreter that has pyspark")
    parser.add_argument("--spark-jars", metavar="DIR", default="", help="the jars of Spark's Kafka connector")
    return parser.parse_args()


class Broker:
    """The broker all tools use: given, or started for this run and stopped with it."""

    def __init__(self, arguments):
        self.started = None
        self.address, self.pid = arguments.broker, arguments.broker_pid
        if self.address is None:
            command = [SKIRL, "broker", "start", "--foreground", "--until-eof"]
            self.started = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.address = self.started.stdout.readline().split()[0]
            self.pid = child_named(self.started.pid, "java")

    def cpu(self):
        """Seconds its process has run."""
        return cpu_of(self.pid) if self.pid else 0.0

    def stop(self):
        if self.started:
            self.started.stdin.close()
            self.started.wait()


def child_named(parent, name):
    """The process of this name among the descendants of another."""
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            pid, command, rest = re.match(r"(\d+) \((.*)\) (.*)", open(path).read(), re.S).groups()
        except (OSError, AttributeError):
            continue
        ancestor = int(rest.split()[1])
        while ancestor > 1:
            if ancestor == parent and command == name:
                return int(pid)
            try:
                ancestor = int(open(f"/proc/{ancestor}/stat").read().rsplit(")", 1)[1].split()[1])
            except OSError:
                break
    return None


def cpu_of(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def run(command, **options):
    """Runs a command that must succeed, and gives what it printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stdout}")
    return done.stdout


class Measured:
    """What a tool did in one round."""

    def __init__(self, rows_per_second, rows, client_cpu, broker_cpu):
        self.rate = rows_per_second
        self.client_us = client_cpu * 1e6 / max(rows, 1)
        self.broker_us = broker_cpu * 1e6 / max(rows, 1)


def measure(broker, command, read, codes=(0,), **options):
    """Runs a tool; `read` finds rows per second and rows in what it printed."""
    before, cpu_before = broker.cpu(), os.times()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    after = os.times()
    if done.returncode not in codes:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}")
    rate, rows = read(done.stdout)
    client = after.children_user - cpu_before.children_user + after.children_system - cpu_before.children_system
    return Measured(rate, rows, client, broker.cpu() - before)


def found(pattern, text):
    match = re.search(pattern, text)
    if not match:
        sys.exit(f"no `{pattern}` in\n{text}")
    return float(match.group(1).replace(",", ""))


# Producing


def produce(arguments, broker, size):
    rows = arguments.rows if size == 100 else arguments.rows // 5
    topic = f"skirl-bench-{os.getpid()}-{size}"
    make_topic(broker, topic)
    scenario, properties = scenario_file(size), properties_file()
    tools = {
        "rdkafka_performance": rdkafka_producer(broker, topic, size, rows),
        "skirl generate": skirl_generate(broker, topic, scenario, properties, rows),
        "skirl load": skirl_load(broker, topic, size, properties, arguments.seconds),
    }
    java = kafka_tools()
    if java:
        tools["ProducerPerformance"] = java_producer(broker, topic, size, rows, java)
    compare(f"produce, {size} bytes", tools, arguments.rounds, "rdkafka_performance")


def make_topic(broker, topic):
    """A topic that keeps little, made by the way."""
    run([SKIRL, "load", "--bootstrap", broker.address, "--topic", topic, "--keep-topic", "--partitions", "4", "--rate", "10/s",
         "--duration", "1s", "--warm-up", "0s"])


def scenario_file(size):
    """A scenario whose rows are about so large."""
    more = ""
    if size > 200:
        text = "-".join(["{value}"] * ((size - 130) // 10))
        more = f'    {{ name = "note", type = "string", model = "uniform", min = 100000000, max = 999999999, template = "{text}" }},\n'
    path = os.path.join(BENCH, f"rows-{size}.toml")
    with open(path, "w") as file:
        file.write(SCENARIO.format(more=more))
    return path


def properties_file():
    path = os.path.join(BENCH, "producer.properties")
    with open(path, "w") as file:
        file.writelines(f"{name}={value}\n" for name, value in SETTINGS.items())
    return path


def rdkafka_producer(broker, topic, size, rows):
    command = [rdkafka_performance(), "-P", "-t", topic, "-s", str(size), "-c", str(rows), "-b", broker.address, "-q"]
    command += ["-a", SETTINGS["acks"]]
    for name in ("enable.idempotence", "linger.ms", "batch.size"):
        command += ["-X", f"{name}={SETTINGS[name]}"]
    return lambda: measure(broker, command, lambda text: (found(r"in \d+ms: (\d+) msgs/s", text), rows))


def skirl_generate(broker, topic, scenario, properties, rows):
    with open(scenario) as file:
        text = re.sub(r"(?m)^rows = \d+$", f"rows = {rows}", file.read())
    with open(scenario, "w") as file:
        file.write(text)
    command = [SKIRL, "generate", "--scenario", scenario, "--to", f"kafka://{broker.address}/{topic}", "--allow-existing", "--no-key"]
    command += ["--kafka-properties", properties]
    return lambda: measure(broker, command, lambda text: (found(r": (\d+) rows/s", text), rows))


def skirl_load(broker, topic, size, properties, seconds):
    stored = os.path.join(BENCH, "load.json")
    # More than can be: the queue is full all the time, as with the others. Such a run is invalid (3), and its throughput
    # is the one that is wanted.
    command = [SKIRL, "load", "--bootstrap", broker.address, "--topic", topic, "--allow-existing", "--rate", "20M/s"]
    command += ["--duration", f"{seconds}s", "--warm-up", "1s", "--patience", "1s", "--size", f"{size}B", "--no-consumer"]
    command += ["--disk", "1000GB", "--kafka-properties", properties, "--json", stored]

    def read(_):
        report = json.load(open(stored))
        return report["figures"]["throughput"], report["run"]["rows"]["queued"]

    return lambda: measure(broker, command, read, codes=(0, 3))


def java_producer(broker, topic, size, rows, jars):
    properties = [f"{name}={value}" for name, value in SETTINGS.items()] + [f"bootstrap.servers={broker.address}", "buffer.memory=536870912"]
    command = ["java", "-Xmx1g", "-cp", f"{jars}/*", "org.apache.kafka.tools.ProducerPerformance", "--topic", topic]
    command += ["--num-records", str(rows), "--record-size", str(size), "--throughput", "-1", "--producer-props", *properties]
    return lambda: measure(broker, command, lambda text: (found(r"(?s).*, ([\d.]+) records/sec", text), rows))


# Consuming


def consume(arguments, broker):
    # Skirl's figure includes its start, so there are rows enough for it to matter little.
    rows, topic = 5 * arguments.rows, f"skirl-bench-{os.getpid()}-query"
    run([SKIRL, "generate", "scotsmen", "--rows", str(rows), "--to", f"kafka://{broker.address}/{topic}", "--topic-setting",
         "retention.ms=-1"])
    tools = {"rdkafka_performance": rdkafka_consumer(broker, topic, rows)}
    tools["skirl query"] = skirl_query(broker, topic, rows)
    if arguments.spark:
        tools["Spark"] = spark_query(broker, topic, rows, arguments)
    compare("consume and aggregate", tools, arguments.rounds, "rdkafka_performance")


def rdkafka_consumer(broker, topic, rows):
    command = [rdkafka_performance(), "-C", "-t", topic, "-o", "beginning", "-c", str(rows), "-b", broker.address, "-q"]
    for partition in range(4):
        command += ["-p", str(partition)]
    return lambda: measure(broker, command, lambda text: (found(r"(?s).*: (\d+) msgs/s", text), rows))


def skirl_query(broker, topic, rows):
    command = [SKIRL, "query", "--stream", f"scotsmen=kafka://{broker.address}/{topic}", "--option",
               "scotsmen.startingOffsets=earliest", "--watermark", "scotsmen=timestamp,30 seconds", "--trigger", "available-now",
               "--schema", f"scotsmen={SCHEMA}", "--sink", "noop", QUERY]
    return lambda: timed(broker, command, rows)


def spark_query(broker, topic, rows, arguments):
    jars = ":".join(sorted(glob.glob(os.path.join(os.path.abspath(arguments.spark_jars), "*.jar"))))
    environment = {**os.environ, "PYSPARK_SUBMIT_ARGS": f"--driver-class-path {jars} --driver-memory 2g pyspark-shell"}
    script = os.path.join(BENCH, "spark.py")
    with open(script, "w") as file:
        file.write(SPARK.format(broker=broker.address, topic=topic, rows=rows, query=QUERY, schema=SCHEMA, bench=BENCH,
                                broker_pid=broker.pid or 0, ticks=TICKS))

    def once():
        text = run([arguments.spark, script], env=environment)
        return Measured(*(found(rf"{what} ([\d.]+)", text) for what in ("RATE", "ROWS", "CLIENT", "BROKER")))

    return once


# Starting Spark is not counted: its query is timed inside, the second time it runs, and so is CPU.
SPARK = '''
import shutil, time
from pyspark.sql import SparkSession
spark = (SparkSession.builder.master("local[2]").config("spark.sql.shuffle.partitions", "2")
         .config("spark.sql.session.timeZone", "UTC").getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
def once(number):
    rows = (spark.readStream.format("kafka").option("kafka.bootstrap.servers", "{broker}").option("subscribe", "{topic}")
            .option("startingOffsets", "earliest").option("maxOffsetsPerTrigger", "500000").load()
            .selectExpr("from_json(CAST(value AS STRING), '{schema}') AS r")
            .select("r.*").withWatermark("timestamp", "30 seconds"))
    rows.createOrReplaceTempView("scotsmen")
    checkpoint = "{bench}/spark-" + str(number)
    shutil.rmtree(checkpoint, ignore_errors=True)
    began = time.time()
    query = (spark.sql("""{query}""").writeStream.format("noop").outputMode("append")
             .option("checkpointLocation", checkpoint).trigger(availableNow=True).start())
    query.awaitTermination()
    return time.time() - began
def cpu(pid):
    fields = open("/proc/" + str(pid) + "/stat").read().rsplit(")", 1)[1].split() if pid else [0] * 13
    return (int(fields[11]) + int(fields[12])) / {ticks}
once(1)
java, broker = spark.sparkContext._gateway.proc.pid, {broker_pid}
before = cpu(java), cpu(broker)
seconds = once(2)
print("RATE", {rows} / seconds, "ROWS", {rows}, "CLIENT", cpu(java) - before[0], "BROKER", cpu(broker) - before[1])
'''


def timed(broker, command, rows):
    """A tool that says nothing of its rate: from its start to its end."""
    began = time.time()
    return measure(broker, command, lambda _: (rows / (time.time() - began), rows))


# The tools


def rdkafka_performance():
    built = os.path.join(BENCH, "librdkafka", "examples", "rdkafka_performance")
    if not os.path.exists(built):
        home = os.environ.get("CARGO_HOME", os.path.expanduser("~/.cargo"))
        sources = glob.glob(os.path.join(home, "registry", "src", "*", "rdkafka-sys-*", "librdkafka"))
        if not sources:
            sys.exit("the sources of rdkafka-sys are not in cargo's registry; run `cargo fetch`")
        where = os.path.join(BENCH, "librdkafka")
        shutil.copytree(max(sources), where, dirs_exist_ok=True)
        flags = ["--disable-ssl", "--disable-gssapi", "--disable-sasl", "--disable-curl"]
        run(["./configure", *flags], cwd=where)
        run(["make", "libs"], cwd=where)
        run(["make", "-C", "examples", "rdkafka_performance"], cwd=where)
    return built


def kafka_tools():
    """The directory of Kafka's tools, or nothing without Maven."""
    jars = os.path.join(BENCH, "kafka-tools")
    if os.path.isdir(jars) and os.listdir(jars):
        return jars
    if not shutil.which("mvn"):
        print("ProducerPerformance needs Maven to fetch it: left out")
        return None
    pom = os.path.join(BENCH, "pom.xml")
    with open(pom, "w") as file:
        file.write(POM)
    run(["mvn", "-q", "-B", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={jars}"])
    return jars


POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>skirl</groupId><artifactId>bench</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>{KAFKA_TOOLS}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""


def compare(title, tools, rounds, measure_of):
    """Runs all tools round by round, and prints the medians."""
    results = {name: [] for name in tools}
    for number in range(rounds):
        # Each round begins with another tool, so that none always follows the same one.
        names = list(tools)[number % len(tools):] + list(tools)[: number % len(tools)]
        for name in names:
            results[name].append(tools[name]())
    print(f"\n{title}: median of {rounds} rounds")
    print(f"{'':<22}{'rows/s':>12}{'of ' + measure_of:>26}{'client us/row':>16}{'broker us/row':>16}")
    for name, measured in results.items():
        ratios = [one.rate / other.rate for one, other in zip(measured, results[measure_of])]
        median = lambda values: statistics.median(values)
        print(
            f"{name:<22}{median([one.rate for one in measured]):>12,.0f}{median(ratios):>25.2f}x"
            f"{median([one.client_us for one in measured]):>16.2f}{median([one.broker_us for one in measured]):>16.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
