"""Makes src/search/near_words.bin: for each English stem, the stems of similar meaning. See README.md beside this file.

Usage: python make.py MODEL_DIRECTORY STOP_WORDS DICTIONARY OUTPUT

The vector of a word is the mean of the last layer of all-MiniLM-L6-v2 for the word alone, reduced to 256 principal components (the mean of all words
is subtracted first). Words are the whole words of the model's vocabulary, which is in the order of their frequency; the most frequent form stands
for its stem. A stem that is no lower-case word of the dictionary is a name. Two names are never near: a question about Friday does not ask for Monday.
"""
import hashlib
import re
import sys

import numpy
import Stemmer
from safetensors.numpy import load_file
from tokenizers import Tokenizer

HEADS, LAYERS, DIMENSIONS = 12, 6, 256
NEAREST, LEAST_COSINE = 40, 0.3
FIRST_WORD = 999  # the pieces before are markers and unused
# class names so general that everything is near them
GENERIC = "kind type name way thing lot time person people".split()


class Model:
    """all-MiniLM-L6-v2 in numpy, for batches of equal length."""

    def __init__(self, directory):
        weights = load_file(directory + "/model.safetensors")
        self.weights = {k.replace("bert.", ""): v.astype(numpy.float32) for k, v in weights.items() if v.dtype.kind == "f"}

    def linear(self, x, name):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def normalize(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        scale = numpy.sqrt((x * x).mean(-1, keepdims=True) + numpy.float32(1e-12))
        return x / scale * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def attention(self, x, layer):
        def split(name):
            return self.linear(x, f"{layer}attention.self.{name}").reshape(len(x), x.shape[1], HEADS, -1).transpose(0, 2, 1, 3)

        query, key, value = split("query"), split("key"), split("value")
        scores = query @ key.transpose(0, 1, 3, 2) / numpy.float32(query.shape[-1] ** 0.5)
        scores = numpy.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True) @ value).transpose(0, 2, 1, 3).reshape(x.shape)
        return self.linear(mixed, layer + "attention.output.dense")

    def encode(self, ids):
        """Returns the mean of the last layer for each row of token ids."""
        embeddings = self.weights["embeddings.word_embeddings.weight"][ids]
        embeddings = embeddings + self.weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        x = self.normalize(embeddings + self.weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for number in range(LAYERS):
            layer = f"encoder.layer.{number}."
            x = self.normalize(x + self.attention(x, layer), layer + "attention.output.LayerNorm")
            hidden = self.linear(x, layer + "intermediate.dense")
            # GELU, approximated by tanh
            hidden = hidden / 2 * (1 + numpy.tanh(numpy.float32(0.7978845608) * (hidden + numpy.float32(0.044715) * hidden**3)))
            x = self.normalize(x + self.linear(hidden, layer + "output.dense"), layer + "output.LayerNorm")
        return x.mean(1)


def whole_words(vocabulary, stop_words):
    """Returns (stem, token id) of the words of at least three letters, the most frequent form of each stem."""
    stemmer = Stemmer.Stemmer("english")
    seen = {stemmer.stemWord(word) for word in GENERIC}
    for token, word in sorted((number, piece) for piece, number in vocabulary.items()):
        stem = stemmer.stemWord(word)
        if token >= FIRST_WORD and re.fullmatch("[a-z]{3,}", word) and word not in stop_words and stem not in seen:
            seen.add(stem)
            yield stem, token


def main(directory, stop_words, dictionary, output):
    tokenizer = Tokenizer.from_file(directory + "/tokenizer.json")
    vocabulary = tokenizer.get_vocab()
    model = Model(directory)
    pieces = [i for p, i in sorted(vocabulary.items(), key=lambda e: e[1]) if i >= FIRST_WORD and re.match("(##)?[a-z0-9]", p)]
    vectors = numpy.zeros((len(vocabulary), 384), numpy.float32)
    for start in range(0, len(pieces), 512):
        batch = pieces[start : start + 512]
        ids = numpy.array([[vocabulary["[CLS]"], piece, vocabulary["[SEP]"]] for piece in batch])
        vectors[batch] = model.encode(ids)
    centred = vectors[pieces] - vectors[pieces].mean(0)
    components = numpy.linalg.svd(centred, full_matrices=False)[2][:DIMENSIONS]
    reduced = dict(zip(pieces, centred @ components.T))

    stemmer = Stemmer.Stemmer("english")
    common = {stemmer.stemWord(word) for word in open(dictionary).read().split() if re.fullmatch("[a-z]+", word)}
    words = list(whole_words(vocabulary, set(open(stop_words).read().split())))
    matrix = numpy.array([reduced[token] for _, token in words])
    matrix /= numpy.linalg.norm(matrix, axis=1, keepdims=True)
    is_name = numpy.array([stem not in common for stem, _ in words])
    offsets, near, cosines = [0], [], []
    for row in range(len(words)):
        similarity = matrix @ matrix[row]
        similarity[row] = 0
        if is_name[row]:
            similarity[is_name] = 0
        best = numpy.argsort(-similarity, kind="stable")[:NEAREST]
        best = best[similarity[best] >= LEAST_COSINE]
        near.append(best)
        cosines.append(numpy.minimum(255, numpy.round(similarity[best] * 255)))
        offsets.append(offsets[-1] + len(best))
    text = "\n".join(stem for stem, _ in words).encode()
    ranks = [token - FIRST_WORD + 1 for _, token in words]
    with open(output, "wb") as file:
        file.write(numpy.array([len(words), len(text)], "<u4").tobytes() + text)
        file.write(numpy.array(ranks, "<u2").tobytes() + numpy.array(offsets, "<u4").tobytes())
        file.write(numpy.concatenate(near).astype("<u2").tobytes() + numpy.concatenate(cosines).astype("u1").tobytes())
    digest = hashlib.sha256(open(output, "rb").read()).hexdigest()
    print(f"{len(words)} stems, {offsets[-1]} near words, sha256 {digest}")


main(*sys.argv[1:])
