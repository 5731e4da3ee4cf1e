#!/usr/bin/env python3
"""Asks real Spark's Kafka source what it reads, for the cases of tests/fixtures/kafka/cases.json.

Writes the answers to tests/fixtures/kafka/expected.json, to which `spark.rs` holds Skirl's source. Needed:
PySpark 4.3.0, and the jars of the connector, of 4.2.0, which works with it and was the newest on Maven Central:

    skirl broker start                                  # prints the address
    mvn dependency:copy -DoutputDirectory=jars -Dartifact=org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0
    ... the same for org.apache.spark:spark-token-provider-kafka-0-10_2.13:4.2.0,
        org.apache.kafka:kafka-clients:3.9.2 and org.apache.commons:commons-pool2:2.12.1
    python3 tests/kafka/spark_source.py 127.0.0.1:PORT jars

A case has topics of its own. In options and answers they are called {a}, {b}, ...; their partitions {a}-0.
"""

import glob
import json
import os
import re
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, "..", "fixtures", "kafka")


def main():
    bootstrap, jars = sys.argv[1:3]
    only = sys.argv[3] if len(sys.argv) > 3 else None
    classpath = ":".join(sorted(glob.glob(os.path.join(os.path.abspath(jars), "*.jar"))))
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--driver-class-path {classpath} --driver-memory 1g pyspark-shell"
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("OFF")
    kafka = Kafka(spark, bootstrap)
    path = os.path.join(FIXTURES, "expected.json")
    answers = json.load(open(path))["cases"] if only else {}
    for number, case in enumerate(json.load(open(os.path.join(FIXTURES, "cases.json")))["cases"]):
        if only and only not in case["name"]:
            continue
        answers[case["name"]] = answer(spark, kafka, case, f"{os.getpid()}x{number}x")
        print(case["name"], json.dumps(answers[case["name"]])[:300], flush=True)
    asked = {"spark": spark.version, "connector": "4.2.0", "kafka-clients": "3.9.2"}
    with open(path, "w") as out:
        out.write(json.dumps({"asked": asked, "cases": answers}, indent=1, ensure_ascii=False) + "\n")
    spark.stop()


def answer(spark, kafka, case, prefix):
    """What Spark answers to the actions of a case, one entry for each `run` and `table`."""
    names = {label: prefix + label for label in case["topics"]}
    for label, topic in case["topics"].items():
        kafka.create(names[label], topic)
    answers = []
    with tempfile.TemporaryDirectory() as checkpoint:
        for action in case["actions"]:
            kind, argument = next(iter(action.items()))
            if kind == "run":
                said = attempt(lambda: run(spark, kafka, with_names(argument, names), checkpoint))
            elif kind == "table":
                said = attempt(lambda: table(spark, kafka, with_names(argument, names)))
            else:
                kafka.act(kind, argument, names)
                continue
            answers.append(without_names(said, {**names, "broker": kafka.bootstrap}))
    for name in names.values():
        kafka.delete(name)
    return answers


def attempt(ask):
    try:
        return ask()
    except Exception as error:  # whatever Spark raises is its answer
        return {"error": message_of(error)}


def message_of(error):
    """The sentence behind Spark's and Java's wrappings."""
    cause = getattr(error, "java_exception", None) or getattr(error, "_origin", None)
    texts = []
    while cause is not None:
        texts.append(f"{cause.getClass().getSimpleName()}: {cause.getMessage()}")
        cause = cause.getCause()
    text = re.sub(r"\s+", " ", texts[-1] if texts else str(error))
    # What a batch of foreachBatch raises has been through Python, with all of its stack.
    causes = re.findall(r"Caused by: (?:[\w$]+\.)*([\w$]+): (.*?) at [\w.$]+\(", text)
    return ": ".join(causes[-1]) if causes else text.strip()


def run(spark, kafka, options, checkpoint):
    reader = spark.readStream.format("kafka").option("kafka.bootstrap.servers", kafka.bootstrap)
    stream = reader.options(**options).load()
    batches = []

    def keep(rows, batch_id):
        batches.append(rows_of(rows))

    query = (
        stream.writeStream.foreachBatch(keep)
        .option("checkpointLocation", checkpoint)
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    return {"batches": batches, "logged": logged(checkpoint)[-len(batches):] if batches else []}


def table(spark, kafka, options):
    reader = spark.read.format("kafka").option("kafka.bootstrap.servers", kafka.bootstrap)
    return {"rows": rows_of(reader.options(**options).load())}


def rows_of(rows):
    """Rows as lists, in the order of topics, partitions and offsets."""
    def cell(value):
        return value.decode("utf-8") if isinstance(value, (bytes, bytearray)) else value

    found = []
    for row in rows.collect():
        line = [row["topic"], row["partition"], row["offset"], cell(row["key"]), cell(row["value"]), row["timestampType"]]
        if row["timestampType"] == 0:
            line.append(int(row["timestamp"].timestamp() * 1000))
        if "headers" in rows.columns:
            headers = row["headers"]
            line.append(None if headers is None else [[h["key"], cell(h["value"])] for h in headers])
        found.append(line)
    return sorted(found, key=lambda line: line[:3])


def logged(checkpoint):
    """Where each batch ended, by the offset log."""
    ends = []
    folder = os.path.join(checkpoint, "offsets")
    for name in sorted((n for n in os.listdir(folder) if n.isdigit()), key=int):
        lines = open(os.path.join(folder, name)).read().split("\n")
        ends.append(json.loads(lines[2]))
    return ends


def with_names(options, names):
    def put(text):
        for label, name in names.items():
            text = text.replace("{" + label + "}", name)
        return text

    return {option: put(value) for option, value in options.items()}


def without_names(said, names):
    text = json.dumps(said, ensure_ascii=False)
    # The longest first: a name may be the beginning of another.
    for label, name in sorted(names.items(), key=lambda item: -len(item[1])):
        text = text.replace(name, "{" + label + "}")
    return json.loads(text)


class Kafka:
    """What a test does to topics, by Kafka's own client in Spark's JVM."""

    def __init__(self, spark, bootstrap):
        self.bootstrap = bootstrap
        self.jvm = spark._jvm
        self.gateway = spark.sparkContext._gateway
        properties = self.jvm.java.util.Properties()
        properties.put("bootstrap.servers", bootstrap)
        self.admin = self.jvm.org.apache.kafka.clients.admin.Admin.create(properties)

    def create(self, name, topic):
        settings = self.jvm.java.util.HashMap()
        for setting, value in topic.get("settings", {}).items():
            settings.put(setting, value)
        new = self.jvm.org.apache.kafka.clients.admin.NewTopic(
            name, self.jvm.java.util.Optional.of(topic["partitions"]), self.jvm.java.util.Optional.empty()
        )
        new.configs(settings)
        self.until(lambda: self.admin.createTopics(self.list([new])).all().get())
        self.until(lambda: self.admin.describeTopics(self.list([name])).allTopicNames().get())
        self.put(name, topic.get("rows", []))
        for outcome, rows in topic.get("transactions", []):
            self.put(name, rows, outcome)

    def delete(self, name):
        try:
            self.admin.deleteTopics(self.list([name])).all().get()
        except Exception:
            return  # a case may have deleted it

    def act(self, kind, argument, names):
        for label, what in argument.items():
            name = names[label]
            if kind == "put":
                self.put(name, what)
            elif kind == "grow":
                more = self.jvm.org.apache.kafka.clients.admin.NewPartitions.increaseTo(what)
                self.admin.createPartitions(self.map({name: more})).all().get()
                time.sleep(1)
            elif kind == "truncate":
                before = {self.partition(name, int(number)): self.before(offset) for number, offset in what.items()}
                self.admin.deleteRecords(self.map(before)).all().get()
            elif kind == "delete":
                self.delete(name)
                time.sleep(1)
            elif kind == "create":
                self.create(name, what)
            else:
                raise ValueError(f"no action is called {kind}")

    def put(self, name, rows, outcome=None):
        if not rows:
            return
        properties = self.jvm.java.util.Properties()
        serializer = "org.apache.kafka.common.serialization.ByteArraySerializer"
        for setting, value in {
            "bootstrap.servers": self.bootstrap,
            "key.serializer": serializer,
            "value.serializer": serializer,
            "linger.ms": "0",
        }.items():
            properties.put(setting, value)
        if outcome:
            properties.put("transactional.id", name)
        producer = self.jvm.org.apache.kafka.clients.producer.KafkaProducer(properties)
        if outcome:
            producer.initTransactions()
            producer.beginTransaction()
        for partition, key, value, time_ms, *headers in rows:
            row = self.jvm.org.apache.kafka.clients.producer.ProducerRecord(
                name, partition, time_ms, self.bytes(key), self.bytes(value)
            )
            for header, text in headers[0] if headers else []:
                row.headers().add(header, self.bytes(text))
            producer.send(row).get()
        if outcome == "commit":
            producer.commitTransaction()
        elif outcome == "abort":
            producer.abortTransaction()
        producer.close()

    def before(self, offset):
        """RecordsToDelete.beforeOffset, which py4j does not find: a getter has the same name."""
        java = self.jvm.java.lang
        types = self.gateway.new_array(java.Class, 1)
        types[0] = java.Long.TYPE
        values = self.gateway.new_array(java.Object, 1)
        values[0] = offset
        made = java.Class.forName("org.apache.kafka.clients.admin.RecordsToDelete").getMethod("beforeOffset", types)
        return made.invoke(None, values)

    def partition(self, name, number):
        return self.jvm.org.apache.kafka.common.TopicPartition(name, number)

    def bytes(self, text):
        return None if text is None else bytearray(text.encode("utf-8"))

    def list(self, items):
        made = self.jvm.java.util.ArrayList()
        for item in items:
            made.add(item)
        return made

    def map(self, items):
        made = self.jvm.java.util.HashMap()
        for key, value in items.items():
            made.put(key, value)
        return made

    @staticmethod
    def until(act):
        """A topic that was deleted is not gone at once, and one that was made not there."""
        for _ in range(50):
            try:
                return act()
            except Exception:
                time.sleep(0.2)
        return act()


if __name__ == "__main__":
    main()
