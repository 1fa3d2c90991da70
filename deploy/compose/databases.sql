CREATE DATABASE teppan_conversation;
